import { Button, Group, MultiSelect, Radio, Select, Stack, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, need } from "~/api/client";
import { ApiError, fieldErrors } from "~/api/problem";
import { keys } from "~/api/queries";
import type { FleetProduct, Role } from "~/api/types";
import { Dialog } from "~/components/Dialog";
import { Failure } from "~/components/Failure";
import { OneTimeSecret } from "~/components/OneTimeSecret";
import { focusFirstFault } from "~/lib/focus";

import { expiryOf, LIFETIMES, type Lifetime } from "./expiry";

const ROLES: { value: Role; label: string }[] = [
  { value: "viewer", label: "Viewer: sees everything but secrets" },
  { value: "operator", label: "Operator: changes configurations too" },
  { value: "administrator", label: "Administrator: product keys and deletion too; for all products also tokens" },
];
const FIELDS = ["name", "role", "products", "at"] as const;

interface Form {
  name: string;
  role: Role;
  scope: "all" | "some";
  products: string[];
  lifetime: Lifetime;
  at: string;
}

/** Makes a token and shows it this once. */
export function CreateToken({ products, onClose }: { products: readonly FleetProduct[]; onClose: () => void }) {
  const client = useQueryClient();
  const form = useForm<Form>({
    initialValues: { name: "", role: "viewer", scope: "some", products: [], lifetime: "30", at: "" },
    validate: {
      name: (name) => (name.trim() === "" ? "Give it a name: whose it is, or what for" : name.trim().length > 100 ? "At most 100 characters" : null),
      products: (chosen, { scope }) => (scope === "some" && chosen.length === 0 ? "Choose at least one" : null),
      at: (at, { lifetime }) => (lifetime === "at" && !(Date.parse(at) > Date.now()) ? "Choose a time that is still to come" : null),
    },
  });
  const create = useMutation({
    mutationFn: (values: Form) =>
      need(api.POST("/api/v1/tokens", {
        body: {
          name: values.name.trim(),
          role: values.role,
          product_ids: values.scope === "all" ? null : values.products.map(Number),
          expires_at: expiryOf(values.lifetime, values.at, Date.now()),
        },
      })),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.tokens }),
    onError: (error) => {
      form.setErrors(errorsOf(error));
      focusFirstFault();
    },
    // The token is kept nowhere once the dialog is closed.
    gcTime: 0,
  });
  if (create.data) {
    return (
      <Dialog onClose={onClose} size="lg" title={`The token ${create.data.name}`} closeOnClickOutside={false} closeOnEscape={false} withCloseButton={false}>
        <OneTimeSecret secret={create.data.token}>
          Whoever has it is a {create.data.role} here. Sign in with it, or send it as Authorization: Bearer.
        </OneTimeSecret>
        <Group justify="flex-end" mt="lg"><Button onClick={onClose}>I have it</Button></Group>
      </Dialog>
    );
  }
  const { scope, lifetime } = form.values;
  return (
    <Dialog onClose={onClose} title="New token" size="lg" dirty={form.isDirty()}>
      <form onSubmit={form.onSubmit((values) => { create.mutate(values); }, focusFirstFault)} noValidate>
        <Stack>
          <TextInput label="Name" placeholder="deployment" data-autofocus {...form.getInputProps("name")} />
          <Radio.Group label="Role" {...form.getInputProps("role")}>
            <Stack gap="xs" mt={4}>{ROLES.map((each) => <Radio key={each.value} {...each} />)}</Stack>
          </Radio.Group>
          <Radio.Group label="For" {...form.getInputProps("scope")}>
            <Stack gap="xs" mt={4}>
              <Radio value="some" label="Some products" />
              <Radio value="all" label="All products, also those to come" />
            </Stack>
          </Radio.Group>
          {scope === "some" ? (
            <MultiSelect
              label="Products"
              placeholder={form.values.products.length === 0 ? "Choose" : ""}
              data={products.map((each) => ({ value: String(each.product_id), label: each.name }))}
              searchable
              limit={50}
              nothingFoundMessage="No product has this name"
              {...form.getInputProps("products")}
            />
          ) : null}
          <Select label="Ends" data={LIFETIMES} allowDeselect={false} maw="16rem" {...form.getInputProps("lifetime")} />
          {lifetime === "at" ? <TextInput type="datetime-local" label="At" description="In your time zone" maw="16rem" {...form.getInputProps("at")} /> : null}
          {create.error && !isShownAtField(create.error) ? <Failure error={create.error} title="Not created" /> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>Cancel</Button>
            <Button type="submit" loading={create.isPending}>Create</Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

/** `product_ids.0` is the choice of products. */
function errorsOf(error: unknown): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [loc, text] of Object.entries(fieldErrors(error))) {
    found[loc.startsWith("product_ids") ? "products" : loc === "expires_at" ? "at" : loc] = text;
  }
  return found;
}

function isShownAtField(error: Error): boolean {
  const fields = Object.keys(errorsOf(error));
  return error instanceof ApiError && fields.length > 0 && fields.every((each) => (FIELDS as readonly string[]).includes(each));
}

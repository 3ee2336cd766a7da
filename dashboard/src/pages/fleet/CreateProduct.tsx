import { Button, Group, Stack, Textarea, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, need } from "~/api/client";
import { ApiError, fieldErrors } from "~/api/problem";
import { keys } from "~/api/queries";
import type { ProductCreated } from "~/api/types";
import { Dialog } from "~/components/Dialog";
import { Failure } from "~/components/Failure";
import { LinkButton } from "~/components/links";
import { OneTimeSecret } from "~/components/OneTimeSecret";

/** Asks for a new product, then shows its key, which nobody can read again. */
export function CreateProduct({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const form = useForm({
    initialValues: { name: "", description: "" },
    validate: {
      name: (name) => (name.trim() === "" ? "Give it a name" : name.length > 100 ? "At most 100 characters" : null),
      description: (text) => (text.length > 1000 ? "At most 1,000 characters" : null),
    },
  });
  const create = useMutation({
    mutationFn: (body: { name: string; description: string }): Promise<ProductCreated> =>
      need(api.POST("/api/v1/products", { body })),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.fleet }),
    onError: (error) => {
      const taken = error instanceof ApiError && error.status === 409;
      form.setErrors(taken ? { name: "Another product has this name" } : fieldErrors(error, ["name", "description"]));
    },
  });
  const made = create.data;
  const shownAtField = create.error instanceof ApiError && [409, 422].includes(create.error.status);
  if (made?.product_key) {
    return (
      <Dialog onClose={onClose} title={`${made.name} is created`} closeOnClickOutside={false} closeOnEscape={false} withCloseButton={false}>
        <OneTimeSecret secret={made.product_key}>
          This is the product key. Each instance needs it as PRODUCT_KEY, with PRODUCT_ID={made.id}, to open its configuration.
        </OneTimeSecret>
        <Group justify="flex-end" mt="lg">
          <LinkButton to="/products/$productId/broker" params={{ productId: made.id }} onClick={onClose}>I have it; enter the broker</LinkButton>
        </Group>
      </Dialog>
    );
  }
  return (
    <Dialog onClose={onClose} title="New product" dirty={form.isDirty()}>
      <form onSubmit={form.onSubmit((values) => { create.mutate({ ...values, name: values.name.trim() }); })} noValidate>
        <Stack>
          <TextInput label="Name" placeholder="shop" required data-autofocus {...form.getInputProps("name")} />
          <Textarea label="Description" description="What these instances are for" autosize minRows={2} {...form.getInputProps("description")} />
          {create.error && !shownAtField ? <Failure error={create.error} title="Not created" /> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>Cancel</Button>
            <Button type="submit" loading={create.isPending}>Create</Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

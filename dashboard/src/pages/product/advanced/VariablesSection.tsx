import { ActionIcon, Button, Code, Group, Modal, Skeleton, Stack, Text, Textarea, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { notifications } from "@mantine/notifications";
import { IconPlus, IconTrash } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";

import { api, ifMatch, need } from "~/api/client";
import { ApiError, fieldErrors } from "~/api/problem";
import { configQuery, keys, productQuery } from "~/api/queries";
import type { Product } from "~/api/types";
import { Failure } from "~/components/Failure";
import { UnsavedGuard } from "~/components/UnsavedGuard";
import { focusFirstFault } from "~/lib/focus";
import { useMay } from "~/session/session";

import { ConflictDialog } from "../ConflictDialog";
import { differences, type Conflict } from "../conflicts";
import { EffectPreview } from "../EffectPreview";
import { useProductId } from "../ProductLayout";
import { RolloutProgress } from "../RolloutProgress";
import { Section } from "./Section";
import classes from "./VariablesSection.module.css";
import { changeOf, faultsOf, fieldAt, flat, formOf, isChange, taking, type ProductChange, type ProductForm } from "./variables";

/** Name and description of a product, and what its topics and templates may refer to. */
export function VariablesSection() {
  const productId = useProductId();
  const product = useQuery(productQuery(productId)).data;
  const config = useQuery(configQuery(productId)).data;
  if (!product || !config) return <Skeleton h={320} radius="md" aria-label="Loading" />;
  return <Editor key={productId} product={product} revision={config.revision} />;
}

/** Begins the key of a row that was added here; no variable has a name like it. */
const NEW = "new ";

/** What the form was filled with. */
interface Base {
  revision: number | null;
  form: ProductForm;
}

function Editor({ product, revision }: { product: Product; revision: number | null }) {
  const client = useQueryClient();
  const mayWrite = useMay("operator");
  const added = useRef(0);
  const adding = useRef<HTMLButtonElement>(null);
  const [base, setBase] = useState<Base>(() => ({ revision, form: formOf(product) }));
  const [saved, setSaved] = useState<number | null>(null);
  const [conflict, setConflict] = useState<{ found: Conflict[]; theirs: Base } | null>(null);
  const form = useForm<ProductForm>({ initialValues: base.form, validate: faultsOf, validateInputOnBlur: true });
  const change = changeOf(base.form, form.values);
  const dirty = isChange(change);
  const fill = (next: Base, values: ProductForm = next.form): void => {
    setBase(next);
    form.setInitialValues(next.form);
    form.setValues(values);
    form.clearErrors();
  };
  // Somebody else saved: an untouched form follows, a touched one is settled when it is saved.
  useEffect(() => {
    const stored = formOf(product);
    // eslint-disable-next-line react-hooks/set-state-in-effect -- the form is a system of its own
    if (!dirty && (revision !== base.revision || isChange(changeOf(base.form, stored)))) fill({ revision, form: stored });
  });

  const remove = (index: number): void => {
    form.removeListItem("variables", index);
    // The button that had the focus is gone.
    adding.current?.focus();
  };
  const patch = (body: ProductChange, dry_run: boolean, at: number | null) =>
    need(api.PATCH("/api/v1/products/{product_id}", {
      params: { path: { product_id: product.id }, query: { dry_run }, header: ifMatch(at) },
      body,
    }));
  const settle = async (): Promise<void> => {
    const [now, config] = await Promise.all([
      client.query({ ...productQuery(product.id), staleTime: 0 }), client.query({ ...configQuery(product.id), staleTime: 0 }),
    ]);
    const theirs: Base = { revision: config.revision, form: formOf(now) };
    const fields = [...new Set([flat(base.form), flat(form.values), flat(theirs.form)].flatMap((each) => Object.keys(each)))];
    const shown = (each: ProductForm, field: string): string => flat(each)[field] ?? "none";
    const found = differences(fields, shown, base.form, form.values, theirs.form);
    if (isChange(changeOf(base.form, theirs.form))) setConflict({ found, theirs });
    else {
      // What was saved meanwhile is about something else.
      setBase(theirs);
      preview.mutate({ body: change, at: theirs.revision });
    }
  };
  const refused = (error: Error): void => {
    preview.reset();
    if (!(error instanceof ApiError)) return;
    if (error.status === 412) void settle();
    if (error.status === 409) form.setErrors({ name: "Another product has this name" });
    const found = Object.entries(fieldErrors(error)).map(([loc, text]) => [fieldAt(form.values, loc), text] as const);
    if (found.length > 0) form.setErrors(Object.fromEntries(found.filter(([field]) => field !== "")));
    focusFirstFault();
  };
  const preview = useMutation({ mutationFn: ({ body, at }: { body: ProductChange; at: number | null }) => patch(body, true, at), onError: refused });
  const save = useMutation({
    mutationFn: (body: ProductChange) => patch(body, false, base.revision),
    onSuccess: (written) => {
      preview.reset();
      fill({ revision: written.revision, form: formOf(written) });
      client.setQueryData(keys.detail(product.id), written);
      // A name alone makes no revision.
      if (written.revision !== base.revision) setSaved(written.revision);
      else notifications.show({ color: "green", message: "Saved" });
      void client.invalidateQueries({ queryKey: keys.product(product.id) });
      void client.invalidateQueries({ queryKey: keys.fleet });
    },
    onError: refused,
  });
  const problem = [preview.error, save.error].find((each) => each && !shownElsewhere(each, form.values));
  const text = (field: string) => ({ readOnly: !mayWrite, ...form.getInputProps(field) });
  return (
    <Section
      title="Name and variables"
      about={<>Topics refer to a variable as <Code>{"{application_id}"}</Code>, templates of actions as <Code>{"{{ variables.application_id }}"}</Code>.</>}
    >
      <UnsavedGuard dirty={dirty} />
      {saved === null ? null : <RolloutProgress productId={product.id} revision={saved} onClose={() => { setSaved(null); }} />}
      <form
        noValidate
        onSubmit={form.onSubmit(() => { preview.mutate({ body: change, at: base.revision }); }, focusFirstFault)}
      >
        <Stack className="surface" p="lg">
          <TextInput label="Name" maw="28rem" {...text("name")} />
          <Textarea label="Description" autosize minRows={2} maw="48rem" {...text("description")} />
          <div role="group" aria-label="Variables">
            <Text fw={600} size="sm" mb={4}>Variables</Text>
            {form.values.variables.length === 0 ? <Text size="sm" c="dimmed">There are none.</Text> : null}
            <Stack gap="xs">
              {form.values.variables.map((each, index) => (
                <div key={each.key} className={classes.row}>
                  <TextInput aria-label={`Name of variable ${index + 1}`} placeholder="application_id" autoFocus={each.key.startsWith(NEW)} {...text(`variables.${index}.name`)} />
                  <TextInput aria-label={`Value of ${each.name || `variable ${index + 1}`}`} {...text(`variables.${index}.value`)} />
                  {mayWrite ? (
                    <ActionIcon variant="subtle" color="red" size="lg" aria-label={`Remove ${each.name || `variable ${index + 1}`}`} onClick={() => { remove(index); }}>
                      <IconTrash size={18} />
                    </ActionIcon>
                  ) : null}
                </div>
              ))}
            </Stack>
            {mayWrite ? (
              <Button
                ref={adding} mt="xs" variant="subtle" size="compact-sm" leftSection={<IconPlus size={16} aria-hidden />}
                onClick={() => { form.insertListItem("variables", { key: `${NEW}${added.current++}`, name: "", value: "" }); }}
              >
                Add a variable
              </Button>
            ) : null}
          </div>
          {problem ? <Failure error={problem} title="Not saved" /> : null}
          {mayWrite ? (
            <Group justify="flex-end">
              <Text size="sm" c="dimmed">{dirty ? "Not saved yet" : "Nothing to save"}</Text>
              <Button variant="default" disabled={!dirty} onClick={() => { fill({ revision, form: formOf(product) }); }}>Discard</Button>
              <Button type="submit" disabled={!dirty} loading={preview.isPending}>Save…</Button>
            </Group>
          ) : null}
        </Stack>
      </form>
      <Modal opened={preview.data !== undefined} onClose={() => { preview.reset(); }} title="What happens when you save" size="lg">
        <EffectPreview effect={preview.data?.effect} warnings={preview.data?.warnings ?? []} />
        <Group justify="flex-end" mt="lg">
          <Button variant="default" onClick={() => { preview.reset(); }}>Back</Button>
          <Button data-autofocus loading={save.isPending} onClick={() => { save.mutate(change); }}>Save</Button>
        </Group>
      </Modal>
      {conflict ? (
        <ConflictDialog
          found={conflict.found}
          labels={{ name: "Name", description: "Description" }}
          revision={conflict.theirs.revision ?? 0}
          onCancel={() => { setConflict(null); }}
          onDropped={() => {
            fill(conflict.theirs);
            setConflict(null);
          }}
          onChosen={(taken) => {
            fill(conflict.theirs, taking(form.values, conflict.theirs.form, taken));
            setConflict(null);
          }}
        />
      ) : null}
    </Section>
  );
}

/** At its field, or in a dialog of its own. */
function shownElsewhere(error: Error, form: ProductForm): boolean {
  if (!(error instanceof ApiError)) return false;
  const places = Object.keys(fieldErrors(error)).map((loc) => fieldAt(form, loc));
  return [409, 412].includes(error.status) || (places.length > 0 && places.every((field) => field !== ""));
}

import { Alert, Button, Group, Modal, Skeleton, Stack, Text } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import { api, ifMatch, need } from "~/api/client";
import { ApiError, fieldErrors } from "~/api/problem";
import { configQuery, keys } from "~/api/queries";
import type { ConfigAnswer, ConfigInput, ConfigWritten } from "~/api/types";
import { Failure } from "~/components/Failure";
import { UnsavedGuard } from "~/components/UnsavedGuard";
import { focusFirstFault } from "~/lib/focus";
import { useMay } from "~/session/session";

import { ConflictDialog } from "../ConflictDialog";
import { merged } from "../conflicts";
import { EffectPreview } from "../EffectPreview";
import { useProductId } from "../ProductLayout";
import { RolloutProgress } from "../RolloutProgress";
import { BrokerFields } from "./BrokerFields";
import { conflicts, faultsOf, fieldAt, formOf, inputOf, LABELS, type BrokerForm } from "./form";
import { TestConnection } from "./TestConnection";

export function BrokerTab() {
  const productId = useProductId();
  const config = useQuery(configQuery(productId));
  if (!config.data) return config.isError ? null : <Skeleton h={420} radius="md" aria-label="Loading" />;
  // Another product is another form.
  return <BrokerEditor key={productId} productId={productId} answer={config.data} />;
}

/** What the form was filled with. */
interface Base {
  revision: number | null;
  form: BrokerForm;
}

function baseOf(answer: ConfigAnswer): Base {
  return { revision: answer.revision, form: formOf(answer.mqtt_config) };
}

function BrokerEditor({ productId, answer }: { productId: number; answer: ConfigAnswer }) {
  const client = useQueryClient();
  const mayWrite = useMay("operator");
  const [base, setBase] = useState(() => baseOf(answer));
  const [saved, setSaved] = useState<number | null>(null);
  const [theirs, setTheirs] = useState<ConfigAnswer | null>(null);
  const form = useForm<BrokerForm>({ initialValues: base.form, validate: (values) => faultsOf(values), validateInputOnBlur: true });
  const dirty = form.isDirty();

  const fill = (next: Base, values: BrokerForm = next.form): void => {
    setBase(next);
    form.setInitialValues(next.form);
    form.resetDirty(next.form);
    form.setValues(values);
    form.clearErrors();
  };
  const settle = (saved: ConfigAnswer, taken?: ReadonlySet<string>): void => {
    const next = baseOf(saved);
    fill(next, taken ? merged(form.values, next.form, taken) : next.form);
    setTheirs(null);
  };
  // Somebody else saved: an untouched form follows, a touched one is kept and settled when it is saved.
  useEffect(() => {
    // eslint-disable-next-line react-hooks/set-state-in-effect -- the form is a system of its own
    if (!dirty && (answer.revision ?? 0) > (base.revision ?? 0)) fill(baseOf(answer));
  });

  const put = (body: ConfigInput, dryRun: boolean): Promise<ConfigWritten> =>
    need(
      api.PUT("/api/v1/products/{product_id}/mqtt-config", {
        params: { path: { product_id: productId }, query: { dry_run: dryRun }, header: ifMatch(base.revision) },
        body,
      }),
    );
  const refused = async (error: Error): Promise<void> => {
    preview.reset();
    if (!(error instanceof ApiError)) return;
    if (error.status === 412) setTheirs(await client.query({ ...configQuery(productId), staleTime: 0 }));
    const found = Object.entries(fieldErrors(error)).map(([loc, text]) => [fieldAt(loc), text] as const);
    form.setErrors(Object.fromEntries(found.filter(([field]) => field !== "")));
    focusFirstFault();
  };
  const preview = useMutation({ mutationFn: (body: ConfigInput) => put(body, true), onError: refused });
  const save = useMutation({
    mutationFn: (body: ConfigInput) => put(body, false),
    onSuccess: (written) => {
      preview.reset();
      setSaved(written.revision);
      fill({ revision: written.revision, form: formOf(written.mqtt_config) });
      void client.invalidateQueries({ queryKey: keys.config(productId) });
      void client.invalidateQueries({ queryKey: keys.rollout(productId) });
    },
    onError: refused,
  });

  const checked = (): ConfigInput | null => {
    if (form.validate().hasErrors) {
      focusFirstFault();
      return null;
    }
    return inputOf(form.values);
  };
  const problem = [preview.error, save.error].find((each) => each && !shownElsewhere(each));
  const effect = preview.data;
  return (
    <Stack gap="lg">
      <UnsavedGuard dirty={dirty} />
      {answer.mqtt_config ? null : (
        <Alert color="blue" title="This product has no broker yet">
          {mayWrite ? "Enter where its instances connect, test it, and save. Running instances connect at once." : "An operator can enter where its instances connect."}
        </Alert>
      )}
      {dirty && answer.revision !== base.revision ? (
        <Alert color="orange" title="Somebody else has saved meanwhile">When you save you see both versions and choose.</Alert>
      ) : null}
      {saved === null ? null : <RolloutProgress productId={productId} revision={saved} onClose={() => { setSaved(null); }} />}
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          const body = checked();
          if (body) preview.mutate(body);
        }}
      >
        <Stack gap="lg">
          <BrokerFields form={form} stored={answer.mqtt_config?.broker} readOnly={!mayWrite} />
          {problem ? <Failure error={problem} title="Not saved" /> : null}
          {mayWrite ? (
            <Group align="flex-start" justify="space-between">
              <TestConnection productId={productId} input={checked} fingerprint={JSON.stringify(form.values)} />
              <Group>
                <Text size="sm" c="dimmed">{dirty ? "Not saved yet" : "Nothing to save"}</Text>
                <Button variant="default" disabled={!dirty} onClick={() => { fill(baseOf(answer)); }}>Discard</Button>
                <Button type="submit" disabled={!dirty} loading={preview.isPending}>Save…</Button>
              </Group>
            </Group>
          ) : null}
        </Stack>
      </form>
      <Modal opened={effect !== undefined} onClose={() => { preview.reset(); }} title="What happens when you save" size="lg">
        <EffectPreview effect={effect?.effect} warnings={effect?.warnings ?? []} />
        <Group justify="flex-end" mt="lg">
          <Button variant="default" onClick={() => { preview.reset(); }}>Back</Button>
          <Button data-autofocus loading={save.isPending} onClick={() => { save.mutate(inputOf(form.values)); }}>Save</Button>
        </Group>
      </Modal>
      {theirs ? (
        <ConflictDialog
          found={conflicts(base.form, form.values, formOf(theirs.mqtt_config))}
          labels={LABELS}
          revision={theirs.revision ?? 0}
          onCancel={() => { setTheirs(null); }}
          onChosen={(taken) => { settle(theirs, taken); }}
          onDropped={() => { settle(theirs); }}
        />
      ) : null}
    </Stack>
  );
}

/** At its field, or in a dialog of its own. */
function shownElsewhere(error: Error): boolean {
  if (!(error instanceof ApiError)) return false;
  const places = Object.keys(fieldErrors(error)).map(fieldAt);
  return error.status === 412 || (places.length > 0 && places.every((field) => field !== ""));
}

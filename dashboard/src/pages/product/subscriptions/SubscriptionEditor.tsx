import { Alert, Button, Group, Modal, Stack, Text, Title } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useMemo, useState } from "react";

import { ApiError, fieldErrors, type Fault } from "~/api/problem";
import { configQuery, instancesQuery, secretsQuery, actionTypesQuery } from "~/api/queries";
import type { ConfigAnswer, Subscription } from "~/api/types";
import { Failure } from "~/components/Failure";
import { LinkAnchor, LinkButton } from "~/components/links";
import { UnsavedGuard } from "~/components/UnsavedGuard";
import { focusFirstFault } from "~/lib/focus";
import { useMay } from "~/session/session";

import { ConflictDialog } from "../ConflictDialog";
import { merged } from "../conflicts";
import { EffectPreview } from "../EffectPreview";
import { RolloutProgress } from "../RolloutProgress";
import { ActionsEditor } from "./actions/ActionsEditor";
import { actionFaults, type Action, type ActionFault } from "./actions/drafts";
import { DeleteDialog } from "./DeleteDialog";
import { chosen, conflicts, exampleTopic, faultsOf, formOf, inputOf, LABELS, patchOf, same, type SubscriptionForm } from "./form";
import { SubscriptionFields } from "./SubscriptionFields";
import { templateNames } from "./templates";
import { TryMessage } from "./TryMessage";
import { useWrite, type Write } from "./writes";

interface Props {
  productId: number;
  answer: ConfigAnswer;
  /** Of the product. */
  variables: Readonly<Record<string, string>>;
  /** The stored one, as it was last seen; null: a new one. */
  subscription: Subscription | null;
  start: SubscriptionForm;
  copied?: boolean;
  /** The revision that was just saved, to follow on its way. */
  saved: number | undefined;
}

/** What the form was filled with. */
interface Base {
  revision: number | null;
  form: SubscriptionForm;
}

export function SubscriptionEditor({ productId, answer, variables, subscription, start, copied = false, saved }: Props) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const mayWrite = useMay("operator");
  const [base, setBase] = useState<Base>(() => ({ revision: answer.revision, form: start }));
  const [theirs, setTheirs] = useState<{ revision: number; form: SubscriptionForm } | null>(null);
  const [faults, setFaults] = useState<Record<string, ActionFault[]>>({});
  const [leaving, setLeaving] = useState(false);
  const form = useForm<SubscriptionForm>({ initialValues: start, validate: (values) => faultsOf(values), validateInputOnBlur: true });
  const stored = answer.subscriptions?.find((each) => each.id === subscription?.id);
  const now = useMemo(() => (stored ? formOf(stored) : null), [stored]);
  const gone = subscription !== null && !stored;
  const id = gone ? null : (subscription?.id ?? null);
  const dirty = !same(base.form, form.values);
  // Others may save something else of the product: this one is still what the form was filled with.
  const untouched = now !== null && same(base.form, now);
  const revision = untouched ? answer.revision : base.revision;
  const overtaken = now !== null && !untouched && (answer.revision ?? 0) > (base.revision ?? 0);
  const names = useNames(productId, variables);
  const otherTypes = useOtherTypes(productId);

  const fill = (next: Base, values: SubscriptionForm = next.form): void => {
    setBase(next);
    form.setValues(values);
    form.clearErrors();
    setFaults({});
  };
  // Somebody else saved: an untouched form follows, a touched one is kept and settled when it is saved.
  useEffect(() => {
    // eslint-disable-next-line react-hooks/set-state-in-effect -- the form is a system of its own
    if (overtaken && !dirty) fill({ revision: answer.revision, form: now });
  });

  const writing = (at = revision): Write =>
    id === null ? { id, body: inputOf(form.values) } : { id, revision: at, body: patchOf(base.form, form.values) };
  const refused = async (error: Error): Promise<void> => {
    preview.reset();
    if (!(error instanceof ApiError)) return;
    if (error.status === 412) {
      const fresh = await client.query({ ...configQuery(productId), staleTime: 0 });
      const other = fresh.subscriptions?.find((each) => each.id === id);
      const next = other && formOf(other);
      // Something else of the product was saved: the effect is told anew.
      if (next && same(base.form, next)) preview.mutate(writing(fresh.revision));
      else if (next) setTheirs({ revision: fresh.revision ?? 0, form: next });
      return;
    }
    const { fields, actions } = sorted(error, form.values);
    form.setErrors(fields);
    setFaults(actions);
    focusFirstFault();
  };
  const { write, shown } = useWrite(productId);
  const preview = useMutation({ mutationFn: (what: Write) => write(what, true), onError: refused });
  const save = useMutation({
    mutationFn: (what: Write) => write(what, false),
    onSuccess: (written) => {
      preview.reset();
      shown(written);
      fill({ revision: written.revision, form: form.values });
      void navigate({
        to: "/products/$productId/subscriptions/$subscriptionId",
        params: { productId, subscriptionId: written.id },
        search: { saved: written.revision },
        replace: true,
        ignoreBlocker: true,
        resetScroll: false,
      });
    },
    onError: refused,
  });
  const settle = (taken?: ReadonlySet<string>): void => {
    if (!theirs) return;
    fill(theirs, taken ? merged(form.values, theirs.form, chosen(taken)) : theirs.form);
    setTheirs(null);
  };
  const problem = [preview.error, save.error].find((each) => each && !shownElsewhere(each, form.values));
  const effect = preview.data;
  const name = (stored ?? subscription)?.name ?? "New subscription";
  return (
    <Stack gap="lg">
      <UnsavedGuard dirty={dirty && mayWrite} />
      <Stack gap={4}>
        <LinkAnchor to="/products/$productId/subscriptions" params={{ productId }} size="sm">All subscriptions</LinkAnchor>
        <Group justify="space-between">
          <Title order={2} size="h3">{name}</Title>
          {subscription && mayWrite && !gone ? (
            <Group gap="xs">
              <LinkButton variant="default" to="/products/$productId/subscriptions/new" params={{ productId }} search={{ from: subscription.id }}>Duplicate</LinkButton>
              <Button variant="default" className="bad" onClick={() => { setLeaving(true); }}>Delete…</Button>
            </Group>
          ) : null}
        </Group>
      </Stack>
      {copied ? <Alert color="blue" title="This is a copy">It is off, so that no message is handled twice. Change its topic, or switch it on when it takes over.</Alert> : null}
      {gone ? <Alert color="orange" title="Somebody else has deleted this subscription">What you see is what you had. Saving makes it anew, with counts from zero.</Alert> : null}
      {overtaken && dirty && !gone ? <Alert color="orange" title="Somebody else has changed this subscription meanwhile">When you save you see both versions and choose.</Alert> : null}
      {saved === undefined ? null : (
        <RolloutProgress productId={productId} revision={saved} onClose={() => {
          void navigate({ to: ".", search: {}, replace: true, ignoreBlocker: true, resetScroll: false });
        }} />
      )}
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (form.validate().hasErrors) focusFirstFault();
          else preview.mutate(writing());
        }}
      >
        <Stack gap="lg">
          <Section title="Subscription">
            {answer.mqtt_config ? <SubscriptionFields form={form} topics={answer.mqtt_config.topics} variables={variables} readOnly={!mayWrite} /> : null}
          </Section>
          <Section title="Actions">
            <Text size="sm" c="dimmed">Each message runs through them in this order; one that fails does not keep the next from running.</Text>
            <ActionsEditor
              drafts={form.values.actions}
              onChange={(actions) => { form.setFieldValue("actions", actions); }}
              faults={faults}
              onTouched={(key) => { setFaults((old) => Object.fromEntries(Object.entries(old).filter(([each]) => each !== key))); }}
              names={names}
              otherTypes={otherTypes}
              readOnly={!mayWrite}
            />
            {form.errors["actions"] ? <Text size="sm" className="bad" role="alert">{form.errors["actions"]}</Text> : null}
          </Section>
          {problem ? <Failure error={problem} title="Not saved" /> : null}
          {mayWrite ? (
            <Group justify="flex-end">
              <Text size="sm" c="dimmed">{dirty || !subscription ? "Not saved yet" : "Nothing to save"}</Text>
              <Button variant="default" disabled={!dirty} onClick={() => { fill({ revision: answer.revision, form: now ?? start }); }}>Discard</Button>
              <Button type="submit" disabled={!dirty && id !== null} loading={preview.isPending}>Save…</Button>
            </Group>
          ) : null}
        </Stack>
      </form>
      {mayWrite ? (
        <Section title="Try a message">
          <TryMessage
            order={4}
            productId={productId}
            draft={() => (Object.keys(faultsOf(form.values)).length > 0 ? null : { ...inputOf(form.values), id })}
            fingerprint={JSON.stringify(inputOf(form.values))}
            topic={exampleTopic(form.values, answer.mqtt_config?.topics, variables)}
            conditionsOf={(subscriptionId, index) => actionAt(subscriptionId === id ? inputOf(form.values) : answer.subscriptions?.find((each) => each.id === subscriptionId), index)}
          />
        </Section>
      ) : null}
      <Modal opened={effect !== undefined} onClose={() => { preview.reset(); }} title="What happens when you save" size="lg">
        <EffectPreview effect={effect?.effect} warnings={(effect?.warnings ?? []).filter(({ loc, msg }) => loc[1] === form.values.name || msg.includes(` ${form.values.name}:`))} />
        <Group justify="flex-end" mt="lg">
          <Button variant="default" onClick={() => { preview.reset(); }}>Back</Button>
          <Button data-autofocus loading={save.isPending} onClick={() => { save.mutate(writing()); }}>Save</Button>
        </Group>
      </Modal>
      {theirs ? (
        <ConflictDialog
          found={conflicts(base.form, form.values, theirs.form)}
          labels={LABELS}
          revision={theirs.revision}
          onCancel={() => { setTheirs(null); }}
          onChosen={settle}
          onDropped={() => { settle(); }}
        />
      ) : null}
      {leaving && subscription ? (
        <DeleteDialog
          productId={productId}
          revision={answer.revision}
          subscription={subscription}
          onClose={() => { setLeaving(false); }}
          onDeleted={() => { void navigate({ to: "/products/$productId/subscriptions", params: { productId }, ignoreBlocker: true }); }}
        />
      ) : null}
    </Stack>
  );
}

function actionAt(subscription: { actions: readonly object[] } | undefined, index: number): Action | undefined {
  return subscription?.actions[index] as Action | undefined;
}

function Section({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <section className="surface" aria-label={title}>
      <Stack p={{ base: "md", sm: "lg" }} gap="md">
        <Title order={3} size="h4">{title}</Title>
        {children}
      </Stack>
    </section>
  );
}

function useNames(productId: number, variables: Readonly<Record<string, string>>) {
  const secrets = useQuery(secretsQuery(productId)).data?.secrets;
  return useMemo(() => templateNames(Object.keys(variables), secrets?.map((each) => each.name) ?? []), [variables, secrets]);
}

/** What live instances can run beside the built-in types. */
function useOtherTypes(productId: number): string[] {
  const types = useQuery(actionTypesQuery).data;
  const instances = useQuery(instancesQuery(productId)).data;
  return useMemo(() => {
    const builtIn = new Set(types?.map((each) => each.type));
    const live = (instances ?? []).filter((each) => each.state === "live").flatMap((each) => each.action_types);
    return [...new Set(live)].filter((each) => !builtIn.has(each)).sort();
  }, [types, instances]);
}

const FIELDS = ["name", "topic", "enabled", "description", "concurrency"] as const;

/** The faults of an answer: those of fields, those of actions, and what is left, to be told above the buttons. */
function sorted(error: ApiError, values: SubscriptionForm): { fields: Record<string, string>; actions: Record<string, ActionFault[]>; rest: readonly Fault[] } {
  const actions = actionFaults(error.faults, values.actions);
  const inActions = (fault: Fault): boolean => fault.loc[1] === "actions" && typeof fault.loc[2] === "number";
  const fields = fieldErrors(error, [...FIELDS, "actions"]);
  delete fields[""];
  if (error.status === 409) fields["name"] = error.message;
  return { fields, actions, rest: error.faults.filter((fault) => !inActions(fault) && !(FIELDS as readonly string[]).includes(String(fault.loc[1])) && fault.loc[1] !== "actions") };
}

/** At its field or action, or in a dialog of its own. */
function shownElsewhere(error: Error, values: SubscriptionForm): boolean {
  if (!(error instanceof ApiError)) return false;
  if (error.status === 412 || error.status === 409) return true;
  return error.faults.length > 0 && sorted(error, values).rest.length === 0;
}

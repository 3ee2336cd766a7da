import { Alert, Button, Code, Group, Stack, Table, Text, Textarea, TextInput, Title } from "@mantine/core";
import { IconAlertTriangleFilled, IconCircleCheckFilled, IconCircleDashed, IconTestPipe } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";

import { api, need } from "~/api/client";
import { fieldErrors } from "~/api/problem";
import type { Sample, SubscriptionDraft, TriedAction, TriedSubscription } from "~/api/types";
import { Failure } from "~/components/Failure";
import { LinkAnchor } from "~/components/links";
import { ToneBadge } from "~/components/StateBadge";
import { count, integer } from "~/lib/format";

import { isObject, type Action } from "./actions/drafts";
import { conditionRows, sentParts, verdict } from "./tried";

interface Props {
  productId: number;
  /** What is being edited, in place of what is stored; null while it cannot be sent. */
  draft?: () => SubscriptionDraft | null;
  /** Changes with the draft: a result of another one is told as such. */
  fingerprint?: string;
  /** A topic that the draft's filter matches. */
  topic?: string;
  /** The action as it is stored, or stands in the draft. */
  conditionsOf: (subscriptionId: number | null, index: number) => Action | undefined;
  /** Of the headings in the result. */
  order: 3 | 4;
}

interface Asked {
  topic: string;
  payload: string;
  fingerprint: string;
}

const MOST = 50;

/** A message is pasted: which subscriptions match, which conditions hold, what each action would send. */
export function TryMessage({ productId, draft, fingerprint = "", topic: proposed = "", conditionsOf, order }: Props) {
  const [topic, setTopic] = useState<string | null>(null);
  const [payload, setPayload] = useState("");
  const asked: Asked = { topic: topic ?? proposed, payload, fingerprint };
  const ask = useMutation({
    mutationFn: ({ topic, payload }: Asked) => {
      const edited = draft?.();
      return need(api.POST("/api/v1/products/{product_id}/mqtt-config/subscriptions/dry-run", {
        params: { path: { product_id: productId } },
        // As text, so that every digit goes as it was pasted.
        body: { topic, ...(payload === "" ? {} : { payload_text: payload }), ...(edited ? { subscriptions: [edited] } : {}) },
      }));
    },
  });
  const faults = fieldErrors(ask.error, ["topic", "payload_text"]);
  const unsendable = draft !== undefined && draft() === null;
  const outdated = ask.variables !== undefined && JSON.stringify(ask.variables) !== JSON.stringify(asked);
  return (
    <form
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (asked.topic !== "" && !unsendable) ask.mutate(asked);
      }}
    >
      <Stack gap="md">
        <Text size="sm">
          Paste a message to see which subscriptions match, which conditions hold and what each action would send. <strong>Nothing is sent.</strong>
        </Text>
        <TextInput label="Message topic" description="Where the message is published: without wildcards" placeholder="/v3/applications/shop/business-events/invoice-paid" spellCheck={false} autoComplete="off"
          value={asked.topic} error={faults["topic"]} onChange={(event) => { setTopic(event.currentTarget.value); }} />
        <Textarea label="Payload" description={payload === "" ? "JSON or text; empty: a message without content" : readAs(payload)} spellCheck={false}
          styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }} autosize minRows={4} maxRows={16}
          value={payload} error={faults["payload_text"]} onChange={(event) => { setPayload(event.currentTarget.value); }} />
        <Group>
          <Button variant="default" type="submit" leftSection={<IconTestPipe size={16} aria-hidden />} loading={ask.isPending} disabled={asked.topic === "" || unsendable}>
            Try it
          </Button>
          <Text size="sm" c="dimmed">{unsendable ? "Correct the fields above first." : "Nothing is sent."}</Text>
        </Group>
        {faults[""] || (ask.error && Object.keys(faults).length === 0) ? <Failure error={faults[""] ? new Error(faults[""]) : ask.error} title="It could not be tried" /> : null}
        <div role="status">
          {ask.data && outdated ? <Alert color="orange" mb="sm" title="This is for what stood here before">The message or the subscription has changed since. Try it again.</Alert> : null}
          {ask.data ? <Result productId={productId} sample={ask.data} edited={draft?.()} conditionsOf={conditionsOf} order={order} /> : null}
        </div>
      </Stack>
    </form>
  );
}

function readAs(payload: string): string {
  try {
    JSON.parse(payload);
    return "Read as JSON";
  } catch {
    return "Not JSON: read as text";
  }
}

interface ResultProps {
  productId: number;
  sample: Sample;
  edited: SubscriptionDraft | null | undefined;
  conditionsOf: Props["conditionsOf"];
  order: 3 | 4;
}

function Result({ productId, sample, edited, conditionsOf, order }: ResultProps) {
  const mine = (each: TriedSubscription): boolean => edited !== null && edited !== undefined && each.subscription_id === (edited.id ?? null);
  const matching = sample.subscriptions.filter((each) => each.matches).sort((one, other) => Number(mine(other)) - Number(mine(one)));
  const others = sample.subscriptions.filter((each) => !each.matches);
  const missed = sample.subscriptions.find((each) => mine(each) && !each.matches);
  return (
    <Stack gap="md">
      <Text fw={600}>{integer(matching.length)} of {count(sample.subscriptions.length, "subscription")} {matching.length === 1 ? "matches" : "match"}</Text>
      {missed ? <Text size="sm" className="warn">The one you are editing does not: <Code>{missed.topic_filter}</Code></Text> : null}
      {matching.slice(0, MOST).map((each) => (
        <Stack key={each.subscription_id ?? "draft"} gap="xs" className="surface" p="md" component="section" aria-label={`What ${each.name} would do`}>
          <Group gap="sm">
            <Title order={order} size="h5">
              {each.subscription_id === null || mine(each) ? each.name : (
                <LinkAnchor to="/products/$productId/subscriptions/$subscriptionId" params={{ productId, subscriptionId: each.subscription_id }}>{each.name}</LinkAnchor>
              )}
            </Title>
            {mine(each) ? <Text size="sm" c="dimmed">as it stands above</Text> : null}
            {each.enabled ? null : <Text size="sm" className="warn">It is off: this is what it would do if it were on</Text>}
          </Group>
          <Code>{each.topic_filter}</Code>
          {each.actions.length === 0 ? <Text size="sm" c="dimmed">It has no actions: the message is counted.</Text> : null}
          {each.actions.map((action) => <Tried key={action.index} action={action} stored={conditionsOf(each.subscription_id, action.index)} />)}
        </Stack>
      ))}
      {matching.length > MOST ? <Text size="sm">and {integer(matching.length - MOST)} more</Text> : null}
      {others.length > 0 ? (
        <details>
          <summary>{count(others.length, "subscription")} {others.length === 1 ? "does" : "do"} not match</summary>
          <Stack component="ul" gap={2} mt="xs" pl="md">
            {others.slice(0, MOST).map((each) => <li key={each.subscription_id ?? "draft"}><Text size="sm" span>{each.name}</Text> <Code>{each.topic_filter}</Code></li>)}
          </Stack>
          {others.length > MOST ? <Text size="sm">and {integer(others.length - MOST)} more</Text> : null}
        </details>
      ) : null}
    </Stack>
  );
}

const LOOKS = {
  sends: { tone: "good", icon: IconCircleCheckFilled },
  waits: { tone: "idle", icon: IconCircleDashed },
  fails: { tone: "bad", icon: IconAlertTriangleFilled },
} as const;

function Tried({ action, stored }: { action: TriedAction; stored: Action | undefined }) {
  const { kind, words, note } = verdict(action);
  const rows = conditionRows(action, isObject(stored?.["conditions"]) ? stored["conditions"] : {});
  const parts = action.condition_holds && !action.error ? sentParts(action) : [];
  return (
    <Stack gap="xs">
      <Group gap="sm">
        <Text fw={600} size="sm">{action.index + 1}. {action.type}</Text>
        <ToneBadge tone={LOOKS[kind].tone} icon={LOOKS[kind].icon}>{words}</ToneBadge>
      </Group>
      {note ? <Text size="sm" c="dimmed">{note}</Text> : null}
      {rows.length > 0 ? (
        <Table.ScrollContainer minWidth={420} scrollAreaProps={{ viewportProps: { tabIndex: 0 } }}>
          <Table aria-label={`Conditions of action ${action.index + 1}`}>
            <Table.Thead><Table.Tr><Table.Th>Condition</Table.Th><Table.Th>Expected</Table.Th><Table.Th>Actual</Table.Th><Table.Th>Holds</Table.Th></Table.Tr></Table.Thead>
            <Table.Tbody>
              {rows.map((each) => (
                <Table.Tr key={each.key}>
                  <Table.Td><Code>{each.key}</Code></Table.Td>
                  <Table.Td><Code>{each.expected}</Code></Table.Td>
                  <Table.Td>{each.actual === null ? "as expected" : <Code>{each.actual}</Code>}</Table.Td>
                  <Table.Td className={each.holds ? "good" : "bad"}>{each.holds ? "yes" : "no"}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      ) : null}
      {action.error ? <Text size="sm" className="bad">{action.error}</Text> : null}
      {parts.map(({ name, text }) => (
        <div key={name}>
          <Text size="xs" c="dimmed">{name}</Text>
          <Code block style={{ whiteSpace: "pre-wrap" }}>{text}</Code>
        </div>
      ))}
    </Stack>
  );
}

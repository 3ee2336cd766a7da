import { Group, Progress, Skeleton, Text, Title } from "@mantine/core";

import type { ConfigAnswer, Product, ProductState, Rollout } from "~/api/types";
import { StateBadge } from "~/components/StateBadge";
import { TimeAgo } from "~/components/TimeAgo";
import { useRate } from "~/components/useRate";
import { count, integer, rate } from "~/lib/format";

import classes from "./ProductHeader.module.css";
import { rolloutWords } from "./rollout";

interface Props {
  product: Product | undefined;
  config: ConfigAnswer | undefined;
  rollout: Rollout | undefined;
}

/** What is really running. Its height does not depend on the state, so nothing below it moves. */
export function ProductHeader({ product, config, rollout }: Props) {
  const status = config?.status ?? null;
  const perSecond = useRate({ productId: product?.id ?? 0, lastMessageAt: status?.last_message_at });
  const counts = status?.instances ?? null;
  const trouble = troubleOf(status?.connection_error, rollout);
  return (
    <section className={`surface ${classes.header ?? ""}`} aria-label="State of the product">
      <div className={classes.top}>
        <div>
          <Title order={1} size="h2">{product ? product.name : <Skeleton h={28} w={180} />}</Title>
          <Text c="dimmed" size="sm" lineClamp={2}>{product?.description}</Text>
        </div>
        <Text className={`bad ${classes.error ?? ""}`} size="sm" role="status" lineClamp={2} title={trouble}>
          {trouble}
        </Text>
      </div>
      <dl className={classes.figures}>
        <Figure name="State">{config ? <StateBadge state={stateOf(config)} /> : <Skeleton h={20} w={90} />}</Figure>
        <Figure name="Instances">
          {counts ? `${integer(counts.connected)} of ${integer(counts.live)} connected` : "none heard of"}
          {counts?.stale ? <Text size="xs" c="dimmed">{count(counts.stale, "silent instance")}</Text> : null}
        </Figure>
        <Figure name="Revision"><RolloutFigure rollout={rollout} /></Figure>
        <Figure name="Messages">
          {perSecond === null ? "measuring" : `${rate(perSecond)} /s`}
          <Text size="xs" c="dimmed">{integer(status?.messages_received ?? 0)} in all</Text>
        </Figure>
        <Figure name="Last message"><TimeAgo at={status?.last_message_at} /></Figure>
        <Figure name="Failed actions">
          <span className={status?.actions_failed ? "bad" : undefined}>{integer(status?.actions_failed ?? 0)}</span>
        </Figure>
      </dl>
    </section>
  );
}

function RolloutFigure({ rollout }: { rollout: Rollout | undefined }) {
  if (!rollout) return <>–</>;
  const { text, tone } = rolloutWords(rollout);
  return (
    <>
      <Group gap={6} wrap="nowrap">
        <span>{integer(rollout.desired_revision)}</span>
        {rollout.total > 0 && !rollout.complete ? (
          <Progress w={64} value={(100 * rollout.applied) / rollout.total} animated aria-label="Instances that have the revision" />
        ) : null}
      </Group>
      <Text size="xs" className={tone}>{text}</Text>
    </>
  );
}

function Figure({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Why it is not as it should be, in the words of the instance that said so. */
function troubleOf(connectionError: string | null | undefined, rollout: Rollout | undefined): string {
  if (connectionError) return `Newest connection error: ${connectionError}`;
  const [first, ...others] = rollout?.instances.filter(({ state }) => state === "rejected") ?? [];
  if (!first?.error) return "";
  return `${first.instance_id}${others.length > 0 ? ` and ${count(others.length, "other instance")}` : ""}: ${first.error}`;
}

/** The state of a product; the status knows nothing of one that has no configuration. */
export function stateOf(config: ConfigAnswer): ProductState {
  if (!config.mqtt_config) return "not_configured";
  return config.status?.state ?? "no_instances";
}

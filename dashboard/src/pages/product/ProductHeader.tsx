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
  const perSecond = useRate(product?.id ?? 0);
  const status = config?.status ?? null;
  const counts = status?.instances ?? null;
  return (
    <section className={`surface ${classes.header ?? ""}`} aria-label="State of the product">
      <div className={classes.names}>
        <Title order={1} size="h2">{product ? product.name : <Skeleton h={28} w={180} />}</Title>
        <Text c="dimmed" size="sm" lineClamp={2}>{product?.description}</Text>
      </div>
      <dl className={classes.figures}>
        <Figure name="State">{config ? <StateBadge state={stateOf(config)} /> : <Skeleton h={20} w={90} />}</Figure>
        <Figure name="Instances">
          {counts ? `${integer(counts.connected)} of ${integer(counts.live)} connected` : "none heard of"}
          {counts?.stale ? <Text size="xs" c="dimmed">{count(counts.stale, "silent instance")}</Text> : null}
        </Figure>
        <Figure name="Revision"><RolloutFigure rollout={rollout} /></Figure>
        <Figure name="Messages">
          {perSecond === null ? "–" : `${rate(perSecond)} /s`}
          <Text size="xs" c="dimmed">{integer(status?.messages_received ?? 0)} in all</Text>
        </Figure>
        <Figure name="Last message"><TimeAgo at={status?.last_message_at} /></Figure>
        <Figure name="Failed actions">
          <span className={status?.actions_failed ? "bad" : undefined}>{integer(status?.actions_failed ?? 0)}</span>
        </Figure>
      </dl>
      <Text className="bad" size="sm" role="status" mih="1.55em">
        {status?.connection_error ? `Newest connection error: ${status.connection_error}` : ""}
      </Text>
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

/** The state of a product; the status knows nothing of one that has no configuration. */
export function stateOf(config: ConfigAnswer): ProductState {
  if (!config.mqtt_config) return "not_configured";
  return config.status?.state ?? "no_instances";
}

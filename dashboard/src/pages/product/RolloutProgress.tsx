import { CloseButton, Group, Progress, Stack, Text } from "@mantine/core";
import { IconAlertTriangleFilled, IconCircleCheckFilled, IconCircleXFilled, IconLoader } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";

import { rolloutQuery } from "~/api/queries";
import type { Rollout } from "~/api/types";
import { ToneBadge } from "~/components/StateBadge";
import { integer } from "~/lib/format";

import { rolloutWords } from "./rollout";

const LOOKS = {
  applied: { tone: "good", icon: IconCircleCheckFilled, words: "has it" },
  rejected: { tone: "bad", icon: IconCircleXFilled, words: "rejected it" },
  pending: { tone: "idle", icon: IconLoader, words: "not yet" },
  drifted: { tone: "warn", icon: IconAlertTriangleFilled, words: "drifted" },
} as const;
const MOST = 50;

/** A saved revision on its way, instance by instance, until all have it or have said why not. */
export function RolloutProgress({ productId, revision, onClose }: { productId: number; revision: number; onClose: () => void }) {
  const place = useRef<HTMLElement>(null);
  // Whoever has just saved stands at the end of the form.
  useEffect(() => {
    place.current?.scrollIntoView({ block: "nearest" });
  }, [revision]);
  const { data } = useQuery(rolloutQuery(productId));
  // The answer may still be about the revision before.
  const rollout: Rollout | undefined = data && data.desired_revision >= revision ? data : undefined;
  const { text, tone } = rollout ? rolloutWords(rollout) : ({ text: "on its way", tone: "idle" } as const);
  return (
    <section ref={place} className="surface" aria-label="Rollout" style={{ scrollMarginTop: "4rem" }}>
      <Stack p="md" gap="xs">
        <Group justify="space-between" wrap="nowrap">
          <Text fw={600} role="status">
            Revision {integer(rollout?.desired_revision ?? revision)} is saved: <span className={tone}>{text}</span>
          </Text>
          <CloseButton aria-label="Hide the rollout" onClick={onClose} />
        </Group>
        {rollout && rollout.total > 0 ? (
          <Progress.Root size="sm">
            <Progress.Section value={(100 * rollout.applied) / rollout.total} color="var(--app-good)" aria-label="Instances that have it" />
            <Progress.Section value={(100 * rollout.rejected) / rollout.total} color="var(--app-bad)" aria-label="Instances that rejected it" />
          </Progress.Root>
        ) : null}
        {rollout?.total === 0 ? <Text size="sm" c="dimmed">No instance is live. Each takes it when it starts.</Text> : null}
        <Stack gap={4} component="ul" m={0} p={0}>
          {rollout?.instances.slice(0, MOST).map((each) => {
            const look = LOOKS[each.state];
            return (
              <Group key={each.instance_id} component="li" gap="md">
                <Text size="sm" miw="10rem">{each.instance_id}</Text>
                <ToneBadge tone={look.tone} icon={look.icon}>{look.words}</ToneBadge>
                {each.error ? <Text size="sm" className="bad">{each.error}</Text> : null}
              </Group>
            );
          })}
        </Stack>
        {rollout && rollout.instances.length > MOST ? <Text size="sm" c="dimmed">and {integer(rollout.instances.length - MOST)} more</Text> : null}
      </Stack>
    </section>
  );
}

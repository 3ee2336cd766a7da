import { Text } from "@mantine/core";

import type { Instance } from "~/api/types";
import { ToneBadge } from "~/components/StateBadge";
import { integer } from "~/lib/format";

import { progressWords, stateOf, type Desired } from "./instances";

/** How an instance is, and why it is not connected. */
export function InstanceState({ instance }: { instance: Instance }) {
  const { words, tone, icon } = stateOf(instance);
  const error = instance.state === "live" && !instance.connected ? instance.connection_error : null;
  return (
    <>
      <ToneBadge tone={tone} icon={icon}>{words}</ToneBadge>
      {error ? <Text size="xs" className="bad" lineClamp={2} title={error}>{error}</Text> : null}
    </>
  );
}

/** What an instance runs, and how that stands to what is desired. */
export function AppliedRevision({ instance, desired }: { instance: Instance; desired: Desired }) {
  const progress = progressWords(instance, desired);
  return (
    <>
      {instance.applied_revision === null ? "none" : integer(instance.applied_revision)}
      {progress ? <Text size="xs" className={progress.tone} lineClamp={3} title={progress.text}>{progress.text}</Text> : null}
    </>
  );
}

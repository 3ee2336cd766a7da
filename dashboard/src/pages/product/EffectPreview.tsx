import { Alert, Code, List, Stack, Text } from "@mantine/core";

import { placeWords } from "~/api/problem";
import type { Effect, Warn } from "~/api/types";

import { effectWords } from "./rollout";

/** What a change would mean for running instances, before it is saved. */
export function EffectPreview({ effect, warnings = [] }: { effect: Effect | undefined; warnings?: readonly Warn[] }) {
  if (!effect) return null;
  return (
    <Stack gap="sm">
      <Text fw={600}>{effectWords(effect)}</Text>
      <Filters title="Subscribed anew" filters={effect.subscribe ?? []} />
      <Filters title="Given up" filters={effect.unsubscribe ?? []} />
      <Warnings warnings={warnings} />
    </Stack>
  );
}

function Filters({ title, filters }: { title: string; filters: readonly string[] }) {
  if (filters.length === 0) return null;
  return (
    <div>
      <Text size="sm" c="dimmed">{title}</Text>
      <List size="sm" listStyleType="none">
        {filters.slice(0, 20).map((each) => <List.Item key={each}><Code>{each}</Code></List.Item>)}
      </List>
      {filters.length > 20 ? <Text size="sm">and {filters.length - 20} more</Text> : null}
    </div>
  );
}

export function Warnings({ warnings }: { warnings: readonly Warn[] }) {
  if (warnings.length === 0) return null;
  return (
    <Alert color="orange" title={warnings.length === 1 ? "One thing to know" : `${warnings.length} things to know`}>
      <List size="sm">
        {warnings.map((each, index) => <List.Item key={index}>{placeWords(each.loc.slice(1))}: {each.msg}</List.Item>)}
      </List>
    </Alert>
  );
}

import { Code, Stack, Text } from "@mantine/core";
import { Fragment } from "react";

import type { EffectiveFilter } from "./form";

/** The filter as it will be sent, and the variables in it that the product does not know. */
export function EffectiveTopic({ filter, unknown, enabled }: EffectiveFilter & { enabled: boolean }) {
  return (
    <Stack gap={4}>
      <Text size="sm" fw={500}>Sent to the broker as</Text>
      <Code block style={{ whiteSpace: "pre-wrap" }} aria-label="Effective topic filter">
        {filter.split(/(\{[A-Za-z_][A-Za-z0-9_]*\})/).map((part, index) =>
          index % 2 === 1 ? <mark key={index}>{part}</mark> : <Fragment key={index}>{part}</Fragment>,
        )}
      </Code>
      <Text size="sm" role="status" {...(unknown.length > 0 ? { className: "warn" } : { c: "dimmed" })}>
        {unknown.length > 0
          ? `This product has no value for ${unknown.map((name) => `{${name}}`).join(", ")}: each instance fills in its own, or rejects the revision when it has none.`
          : enabled ? "Every instance subscribes exactly this." : "Not now: the subscription is off."}
      </Text>
    </Stack>
  );
}

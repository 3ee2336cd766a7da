import { Group, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";

/** A part of the tab: what it is about, what can be done with it, and it. */
export function Section({ title, about, actions, children }: { title: string; about?: ReactNode; actions?: ReactNode; children: ReactNode }) {
  return (
    <Stack gap="md" component="section" aria-label={title}>
      <Group justify="space-between" align="flex-start">
        <div>
          <Title order={2} size="h4">{title}</Title>
          {about === undefined ? null : <Text size="sm" c="dimmed" maw="48rem" component="div" mih="1.55em">{about}</Text>}
        </div>
        {actions}
      </Group>
      {children}
    </Stack>
  );
}

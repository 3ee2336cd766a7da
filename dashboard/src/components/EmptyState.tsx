import { Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";

/** Nothing to show: why, and what to do next. */
export function EmptyState({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <Stack align="center" gap="xs" py="xl" px="md" className="surface" ta="center">
      <Title order={2} size="h4">{title}</Title>
      <Text c="dimmed" maw="36rem" component="div">{children}</Text>
      {action}
    </Stack>
  );
}

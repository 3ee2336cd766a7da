import { Button } from "@mantine/core";
import type { ErrorComponentProps } from "@tanstack/react-router";

import { words } from "~/api/problem";
import { EmptyState } from "~/components/EmptyState";

export function PageError({ error, reset }: ErrorComponentProps) {
  return (
    <EmptyState title="This page could not be shown" action={<Button onClick={reset}>Try again</Button>}>
      {words(error)}
    </EmptyState>
  );
}

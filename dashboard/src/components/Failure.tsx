import { Alert, Button } from "@mantine/core";

import { words } from "~/api/problem";

/** Something could not be read or done: why, and another try. */
export function Failure({ error, title, retry }: { error: unknown; title: string; retry?: () => void }) {
  return (
    <Alert color="red" title={title} role="alert">
      {words(error)}
      {retry ? <Button mt="sm" size="compact-sm" variant="default" display="block" onClick={retry}>Try again</Button> : null}
    </Alert>
  );
}

import { Alert, Button, Code, CopyButton, Group, Stack, Text } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";

/** A secret that is shown this once. */
export function OneTimeSecret({ secret, children }: { secret: string; children: React.ReactNode }) {
  return (
    <Stack gap="sm">
      <Alert color="yellow" title="Copy it now: it is shown this once">
        <Text size="sm">{children}</Text>
      </Alert>
      <Group gap="xs" wrap="nowrap">
        <Code block flex={1} tabIndex={0} aria-label="Secret" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>{secret}</Code>
        <CopyButton value={secret}>
          {({ copied, copy }) => (
            <Button variant="default" onClick={copy} leftSection={copied ? <IconCheck size={16} aria-hidden /> : <IconCopy size={16} aria-hidden />}>
              {copied ? "Copied" : "Copy"}
            </Button>
          )}
        </CopyButton>
      </Group>
    </Stack>
  );
}

import { Alert, Button, Text } from "@mantine/core";
import { IconPlugConnected } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";

import { api, need } from "~/api/client";
import { words } from "~/api/problem";
import type { ConfigInput } from "~/api/types";
import { integer } from "~/lib/format";

interface Props {
  productId: number;
  /** The settings as they stand in the form; null while they cannot be sent. */
  input: () => ConfigInput | null;
  /** Changes with the form: a result of other settings is told as such. */
  fingerprint: string;
}

/** A real connection with what stands in the form, without saving it. */
export function TestConnection({ productId, input, fingerprint }: Props) {
  const test = useMutation({
    mutationFn: async ({ settings }: { settings: ConfigInput; fingerprint: string }) =>
      need(api.POST("/api/v1/products/{product_id}/mqtt-config/test", { params: { path: { product_id: productId } }, body: settings })),
  });
  const outdated = test.variables !== undefined && test.variables.fingerprint !== fingerprint;
  const result = test.data;
  return (
    <div>
      <Button
        variant="default"
        leftSection={<IconPlugConnected size={16} aria-hidden />}
        loading={test.isPending}
        onClick={() => {
          const settings = input();
          if (settings) test.mutate({ settings, fingerprint });
        }}
      >
        Test connection
      </Button>
      <div role="status">
        {result ? (
          <Alert mt="sm" color={result.connected ? "green" : "red"} title={result.connected ? `Connected in ${integer(Math.round(result.latency_ms ?? 0))} ms` : (result.error ?? "Not connected")}>
            <Text size="sm">{result.details}</Text>
            {outdated ? <Text size="sm" mt={4}>The settings have changed since this test.</Text> : null}
          </Alert>
        ) : null}
        {test.error ? <Alert mt="sm" color="red" title="The test did not run">{words(test.error)}</Alert> : null}
      </div>
    </div>
  );
}

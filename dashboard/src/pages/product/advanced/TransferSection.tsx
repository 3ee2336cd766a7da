import { Button, Stack, Text } from "@mantine/core";
import { IconDownload } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";

import { api, need } from "~/api/client";
import { configQuery, productQuery } from "~/api/queries";
import { Failure } from "~/components/Failure";
import { useMay } from "~/session/session";

import { useProductId } from "../ProductLayout";
import { ImportForm } from "./ImportForm";
import { Section } from "./Section";

/** The whole configuration as a file, out and in. */
export function TransferSection() {
  const productId = useProductId();
  const config = useQuery(configQuery(productId)).data;
  const mayImport = useMay("operator");
  return (
    <Stack gap="xl">
      <Section title="Export" about="The whole configuration as JSON: broker, topics and subscriptions with their actions. Passwords, keys and the values of secrets are not in it.">
        <Export productId={productId} configured={Boolean(config?.mqtt_config)} />
      </Section>
      {mayImport ? (
        <Section title="Import" about="An export of this or another product, or a mqtt_events.json. Nothing is written before you have seen what it would change.">
          <ImportForm key={productId} productId={productId} />
        </Section>
      ) : null}
    </Stack>
  );
}

function Export({ productId, configured }: { productId: number; configured: boolean }) {
  const name = useQuery(productQuery(productId)).data?.name ?? String(productId);
  const read = useMutation({
    mutationFn: () => need(api.GET("/api/v1/products/{product_id}/mqtt-config/export", { params: { path: { product_id: productId } } })),
    onSuccess: (document: Record<string, unknown>) => { download(document, fileName(name, document["revision"])); },
  });
  return (
    <>
      <div>
        <Button variant="default" leftSection={<IconDownload size={16} aria-hidden />} disabled={!configured} loading={read.isPending} onClick={() => { read.mutate(); }}>
          Download
        </Button>
        {configured ? null : <Text size="sm" c="dimmed" mt={4}>There is no configuration yet.</Text>}
      </div>
      {read.error ? <Failure error={read.error} title="Not exported" /> : null}
    </>
  );
}

function fileName(product: string, revision: unknown): string {
  const safe = product.replaceAll(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 80);
  return `${safe}-revision-${String(revision)}.json`;
}

function download(document: unknown, name: string): void {
  const url = URL.createObjectURL(new Blob([`${JSON.stringify(document, null, 2)}\n`], { type: "application/json" }));
  const link = Object.assign(window.document.createElement("a"), { href: url, download: name });
  link.click();
  URL.revokeObjectURL(url);
}

import { Button, Group, Skeleton, Stack, Text, Title } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState, type ReactNode } from "react";

import { api, need } from "~/api/client";
import { configQuery, keys, productQuery } from "~/api/queries";
import type { Effect } from "~/api/types";
import { ConfirmByName } from "~/components/ConfirmByName";
import { EmptyState } from "~/components/EmptyState";
import { useMay } from "~/session/session";

import { EffectPreview } from "../EffectPreview";
import { useProductId } from "../ProductLayout";
import { Section } from "./Section";

/** What cannot be taken back, or only in part. */
export function DangerSection() {
  const productId = useProductId();
  const product = useQuery(productQuery(productId)).data;
  const configured = useQuery(configQuery(productId)).data?.mqtt_config;
  const mayDelete = useMay("operator");
  const mayDeleteAll = useMay("administrator");
  const [asked, setAsked] = useState<"configuration" | "product" | null>(null);
  if (!mayDelete) return <EmptyState title="Not for your role">An operator can delete the configuration, an administrator the product.</EmptyState>;
  if (!product || configured === undefined) return <Skeleton h={200} radius="md" aria-label="Loading" />;
  const close = (): void => { setAsked(null); };
  return (
    <Section title="Danger zone">
      <Danger
        title="Delete the configuration"
        about="Running instances stop consuming. The history stays, and each of its revisions can be restored."
        action={configured ? <Button color="red" variant="outline" onClick={() => { setAsked("configuration"); }}>Delete the configuration…</Button>
          : <Text size="sm" c="dimmed">There is none.</Text>}
      />
      <Danger
        title="Delete the product"
        about="With its configuration, history, counts, secrets and key. Nothing of it can be brought back."
        action={mayDeleteAll ? <Button color="red" variant="outline" onClick={() => { setAsked("product"); }}>Delete the product…</Button>
          : <Text size="sm" c="dimmed">An administrator can.</Text>}
      />
      {asked === "configuration" ? <DeleteConfiguration productId={productId} name={product.name} onClose={close} /> : null}
      {asked === "product" ? <DeleteProduct productId={productId} name={product.name} onClose={close} /> : null}
    </Section>
  );
}

function Danger({ title, about, action }: { title: string; about: string; action: ReactNode }) {
  return (
    <Group className="surface" p="md" justify="space-between" component="section" aria-label={title}>
      <div>
        <Title order={3} size="h5">{title}</Title>
        <Text size="sm" c="dimmed">{about}</Text>
      </div>
      {action}
    </Group>
  );
}

interface DialogProps {
  productId: number;
  name: string;
  onClose: () => void;
}

function DeleteConfiguration({ productId, name, onClose }: DialogProps) {
  const client = useQueryClient();
  const remove = (dry_run: boolean) =>
    need(api.DELETE("/api/v1/products/{product_id}/mqtt-config", { params: { path: { product_id: productId }, query: { dry_run } } }));
  const preview = useQuery({ queryKey: ["delete-config", productId], queryFn: () => remove(true), gcTime: 0, staleTime: 0 });
  const write = useMutation({
    mutationFn: () => remove(false),
    onSuccess: () => {
      notifications.show({ color: "green", message: `The configuration of ${name} is deleted.` });
      onClose();
      void client.invalidateQueries({ queryKey: keys.product(productId) });
      void client.invalidateQueries({ queryKey: keys.fleet });
    },
  });
  return (
    <ConfirmByName
      title={`Delete the configuration of ${name}?`}
      name={name}
      action="Delete the configuration"
      disabled={!preview.data}
      loading={write.isPending}
      error={write.error ?? preview.error}
      onConfirm={() => { write.mutate(); }}
      onClose={onClose}
    >
      <Meaning effect={preview.data?.effect} />
    </ConfirmByName>
  );
}

function DeleteProduct({ productId, name, onClose }: DialogProps) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const remove = (dry_run: boolean) =>
    need(api.DELETE("/api/v1/products/{product_id}", { params: { path: { product_id: productId }, query: { dry_run } } }));
  const preview = useQuery({ queryKey: ["delete-product", productId], queryFn: () => remove(true), gcTime: 0, staleTime: 0 });
  const write = useMutation({
    mutationFn: () => remove(false),
    onSuccess: async () => {
      notifications.show({ color: "green", message: `${name} is deleted.` });
      await navigate({ to: "/" });
      client.removeQueries({ queryKey: keys.product(productId) });
      void client.invalidateQueries({ queryKey: keys.fleet });
    },
  });
  return (
    <ConfirmByName
      title={`Delete ${name}?`}
      name={name}
      action="Delete the product"
      disabled={!preview.data}
      loading={write.isPending}
      error={write.error ?? preview.error}
      onConfirm={() => { write.mutate(); }}
      onClose={onClose}
    >
      <Text size="sm">Its configuration, history, counts, secrets and key go with it. Nothing can be brought back.</Text>
      <Meaning effect={preview.data?.effect} />
    </ConfirmByName>
  );
}

function Meaning({ effect }: { effect: Effect | undefined }) {
  return (
    <Stack gap="xs" role="status">
      {effect ? <EffectPreview effect={effect} /> : <Text size="sm" c="dimmed">Asking what it would mean…</Text>}
    </Stack>
  );
}

import { Alert, Button, Code, Group, List, Skeleton, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, need } from "~/api/client";
import { instancesQuery, keys, productQuery } from "~/api/queries";
import type { Instance, Product } from "~/api/types";
import { Dialog } from "~/components/Dialog";
import { Failure } from "~/components/Failure";
import { LinkAnchor } from "~/components/links";
import { OneTimeSecret } from "~/components/OneTimeSecret";
import { count, integer } from "~/lib/format";
import { useMay } from "~/session/session";

import { useProductId } from "../ProductLayout";
import { Section } from "./Section";

/** The key with which instances open their configuration, and how another one takes its place. */
export function KeySection() {
  const productId = useProductId();
  const product = useQuery(productQuery(productId)).data;
  const instances = useQuery(instancesQuery(productId)).data;
  const mayRenew = useMay("administrator");
  const [renewing, setRenewing] = useState(false);
  const [ending, setEnding] = useState(false);
  if (!product || !instances) return <Skeleton h={160} radius="md" aria-label="Loading" />;
  const old = product.previous_product_key_id;
  const behind = old ? instances.filter((each) => each.key_id !== product.product_key_id && each.state !== "stopped") : [];
  return (
    <Section
      title="Product key"
      about={<>Each instance has it as <Code>PRODUCT_KEY</Code> and opens its configuration with it. It was shown once, when it was made.</>}
      actions={mayRenew ? <Button variant="default" disabled={Boolean(old)} onClick={() => { setRenewing(true); }}>Make a new key…</Button> : null}
    >
      <Text size="sm">The fingerprint of the key is <Code>{product.product_key_id}</Code>.{mayRenew ? "" : " An administrator can make a new one."}</Text>
      {old ? (
        <Alert color={behind.length > 0 ? "orange" : "blue"} title={behind.length > 0 ? `${count(behind.length, "instance")} still ${behind.length === 1 ? "has" : "have"} the old key` : "No instance that is known has the old key"}>
          <Stack gap="sm">
            <Text size="sm">
              The old key, <Code>{old}</Code>, is still good, and ends by itself as soon as every instance has reported the new one.{" "}
              {behind.length > 0 ? "Give these the new key as PRODUCT_KEY, and restart them one by one." : "None has reported it yet."}
            </Text>
            <Behind productId={productId} instances={behind} />
            {mayRenew ? <div><Button variant="default" onClick={() => { setEnding(true); }}>End the old key…</Button></div> : null}
          </Stack>
        </Alert>
      ) : null}
      {renewing ? <RenewDialog product={product} onClose={() => { setRenewing(false); }} /> : null}
      {ending ? <EndDialog productId={productId} behind={behind.length} onClose={() => { setEnding(false); }} /> : null}
    </Section>
  );
}

const MOST = 20;

function Behind({ productId, instances }: { productId: number; instances: readonly Instance[] }) {
  if (instances.length === 0) return null;
  return (
    <List size="sm">
      {instances.slice(0, MOST).map(({ instance_id }) => (
        <List.Item key={instance_id}>
          <LinkAnchor inherit underline="always" c="inherit" to="/products/$productId/advanced/instances/$instanceId" params={{ productId, instanceId: instance_id }}>{instance_id}</LinkAnchor>
        </List.Item>
      ))}
      {instances.length > MOST ? <List.Item>and {integer(instances.length - MOST)} more</List.Item> : null}
    </List>
  );
}

/** Makes a new key and shows it this once. */
function RenewDialog({ product, onClose }: { product: Product; onClose: () => void }) {
  const client = useQueryClient();
  const renew = useMutation({
    mutationFn: () => need(api.POST("/api/v1/products/{product_id}/product-key", { params: { path: { product_id: product.id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.detail(product.id) }),
    // The key is kept nowhere once the dialog is closed.
    gcTime: 0,
  });
  if (renew.data) {
    return (
      <Dialog onClose={onClose} size="lg" title={`The new key of ${product.name}`} closeOnClickOutside={false} closeOnEscape={false} withCloseButton={false}>
        <OneTimeSecret secret={renew.data.product_key}>
          Give it to the instances as PRODUCT_KEY, and restart them one by one. The old key is good until all of them have the new one.
        </OneTimeSecret>
        <Group justify="flex-end" mt="lg"><Button onClick={onClose}>I have it</Button></Group>
      </Dialog>
    );
  }
  return (
    <Dialog onClose={onClose} title="Make a new key?">
      <Stack>
        <Text size="sm">
          Instances go on with the key they have: it stays good until all of them have reported the new one, so that you can restart them one by one. The new key is shown once.
        </Text>
        {renew.error ? <Failure error={renew.error} title="No key was made" /> : null}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>Cancel</Button>
          <Button data-autofocus loading={renew.isPending} onClick={() => { renew.mutate(); }}>Make a new key</Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

/** Ends the old key, and says first who is left behind. */
function EndDialog({ productId, behind, onClose }: { productId: number; behind: number; onClose: () => void }) {
  const client = useQueryClient();
  const end = useMutation({
    mutationFn: () => need(api.DELETE("/api/v1/products/{product_id}/product-key/previous", { params: { path: { product_id: productId } } })),
    onSuccess: () => {
      notifications.show({ color: "green", message: "The old key is ended." });
      onClose();
      void client.invalidateQueries({ queryKey: keys.detail(productId) });
    },
  });
  return (
    <Dialog onClose={onClose} title="End the old key?">
      <Stack>
        {behind > 0 ? (
          <Alert color="red" title={`${count(behind, "instance")} still ${behind === 1 ? "has" : "have"} no other`}>
            {behind === 1 ? "It goes" : "They go"} on with what {behind === 1 ? "it has" : "they have"}, but can open no further change until {behind === 1 ? "it gets" : "they get"} the new key.
          </Alert>
        ) : <Text size="sm">No instance that is known has it. Nothing changes for those that run.</Text>}
        {end.error ? <Failure error={end.error} title="Not ended" /> : null}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose} data-autofocus>Cancel</Button>
          <Button color="red" loading={end.isPending} onClick={() => { end.mutate(); }}>End the old key</Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

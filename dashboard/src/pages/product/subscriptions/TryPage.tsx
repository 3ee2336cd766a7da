import { Stack, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { configQuery } from "~/api/queries";
import { EmptyState } from "~/components/EmptyState";
import { LinkAnchor } from "~/components/links";
import { useMay } from "~/session/session";

import { useProductId } from "../ProductLayout";
import { NoBroker } from "./NoBroker";
import { TryMessage } from "./TryMessage";

/** What would become of a message, with everything as it is stored. */
export function TryPage() {
  const productId = useProductId();
  const config = useQuery(configQuery(productId)).data;
  const may = useMay("operator");
  if (!may) return <EmptyState title="Only operators try messages">What actions would send may hold more than your token is for.</EmptyState>;
  if (config && !config.mqtt_config) return <NoBroker productId={productId} />;
  return (
    <Stack gap="lg">
      <Stack gap={4}>
        <LinkAnchor to="/products/$productId/subscriptions" params={{ productId }} size="sm">All subscriptions</LinkAnchor>
        <Title order={2} size="h3">Try a message</Title>
      </Stack>
      <section className="surface" aria-label="Try a message">
        <Stack p={{ base: "md", sm: "lg" }}>
          <TryMessage order={3} productId={productId} conditionsOf={(id, index) => config?.subscriptions?.find((each) => each.id === id)?.actions[index]} />
        </Stack>
      </section>
    </Stack>
  );
}

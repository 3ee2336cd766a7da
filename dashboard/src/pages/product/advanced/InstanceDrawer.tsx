import { Alert, Anchor, Button, Code, Drawer, Group, Skeleton, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useState, type ReactNode } from "react";

import { instancesQuery, productQuery, rolloutQuery } from "~/api/queries";
import type { Instance, Product } from "~/api/types";
import { LinkAnchor } from "~/components/links";
import { Moment, TimeAgo } from "~/components/TimeAgo";
import { useFocusBack } from "~/components/useFocusBack";
import { count, duration, integer } from "~/lib/format";
import { useMay } from "~/session/session";

import { useProductId } from "../ProductLayout";
import classes from "./InstanceDrawer.module.css";
import { AppliedRevision, InstanceState } from "./InstanceState";
import { desiredOf, type Desired } from "./instances";
import { ReconnectDialog } from "./ReconnectDialog";

const PATH = "/products/$productId/advanced/instances/$instanceId";
const route = getRouteApi(PATH);

/** All that is known of one instance. */
export function InstanceDrawer() {
  const productId = useProductId();
  const { instanceId } = route.useParams();
  const navigate = useNavigate({ from: PATH });
  const instances = useQuery(instancesQuery(productId));
  const rollout = useQuery(rolloutQuery(productId)).data;
  const mayReconnect = useMay("operator");
  const [reconnecting, setReconnecting] = useState(false);
  useFocusBack();
  const instance = instances.data?.find((each) => each.instance_id === instanceId);
  const close = (): void => {
    void navigate({ to: "/products/$productId/advanced/instances", params: { productId }, search: (old) => old, resetScroll: false });
  };
  return (
    <Drawer
      opened
      onClose={close}
      position="right"
      size="lg"
      title={<Text span fw={650} size="lg">{instanceId}</Text>}
      trapFocus={!reconnecting}
      closeOnEscape={!reconnecting}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {instances.isPending ? <Skeleton h={400} aria-label="Loading" /> : null}
      {instances.data && !instance ? (
        <Alert color="orange" title="There is no such instance">
          It may have been silent for so long that it was forgotten.{" "}
          <Anchor component="button" inherit underline="always" onClick={close}>See all instances</Anchor>
        </Alert>
      ) : null}
      {instance ? (
        <Stack>
          <Facts productId={productId} instance={instance} desired={desiredOf(rollout)} />
          {mayReconnect && instance.state === "live"
            ? <Group><Button variant="default" onClick={() => { setReconnecting(true); }}>Reconnect…</Button></Group> : null}
        </Stack>
      ) : null}
      {reconnecting ? <ReconnectDialog productId={productId} instanceId={instanceId} live={1} onClose={() => { setReconnecting(false); }} /> : null}
    </Drawer>
  );
}

function Facts({ productId, instance, desired }: { productId: number; instance: Instance; desired: Desired }) {
  const product = useQuery(productQuery(productId)).data;
  const { rejected } = instance;
  return (
    <>
      <Facet title="Connection">
        <Fact name="State"><InstanceState instance={instance} /></Fact>
        <Fact name="Connected since">{instance.connected && instance.connected_since ? <Moment at={instance.connected_since} /> : "–"}</Fact>
        <Fact name="Client id">{instance.client_id ?? "–"}</Fact>
        <Fact name="Subscribed">{count(instance.subscribed_topics_count, "topic filter")}</Fact>
        {Object.entries(instance.broker_info ?? {}).map(([name, value]) => <Fact key={name} name={`Broker: ${name.replaceAll("_", " ")}`}>{shown(value)}</Fact>)}
      </Facet>
      <Facet title="Configuration">
        <Fact name="Applied revision"><AppliedRevision instance={instance} desired={desired} /></Fact>
        <Fact name="Desired revision">
          {desired.revision === 0 ? "none" : (
            <LinkAnchor inherit underline="always" to="/products/$productId/advanced/history/$revision" params={{ productId, revision: desired.revision }}>
              {integer(desired.revision)}
            </LinkAnchor>
          )}
        </Fact>
        <Fact name="Product key"><KeyOf instance={instance} product={product} /></Fact>
        {rejected ? <Fact wide name={`Rejected revision ${integer(rejected.revision)}`}><span className="bad">{rejected.error}</span></Fact> : null}
      </Facet>
      <Facet title="Work">
        <Fact name="Messages">{integer(instance.messages_received)}</Fact>
        <Fact name="Last message"><TimeAgo at={instance.last_message_at} /></Fact>
        <Fact name="Actions carried out">{integer(instance.actions_executed)}</Fact>
        <Fact name="Actions failed"><span className={instance.actions_failed > 0 ? "bad" : undefined}>{integer(instance.actions_failed)}</span></Fact>
        <Fact name="Action types it can run" wide>
          {instance.action_types.length === 0 ? "not told" : <Group gap={4}>{instance.action_types.map((each) => <Code key={each}>{each}</Code>)}</Group>}
        </Fact>
      </Facet>
      <Facet title="Process">
        <Fact name="Host">{instance.host || "–"}</Fact>
        <Fact name="Version">{instance.version || "–"}</Fact>
        <Fact name="Started"><Moment at={instance.started_at} /></Fact>
        <Fact name="First seen"><Moment at={instance.first_seen_at} /></Fact>
        <Fact name="Last heartbeat"><TimeAgo at={instance.last_heartbeat_at} /></Fact>
        <Fact name="Reports every">{duration(instance.interval_seconds)}</Fact>
        <Fact name="Boot id" wide><Code>{instance.boot_id}</Code></Fact>
      </Facet>
    </>
  );
}

function KeyOf({ instance: { key_id }, product }: { instance: Instance; product: Product | undefined }) {
  if (!key_id || !product) return <>not told</>;
  if (key_id === product.product_key_id) return <span className="good">the current one</span>;
  if (key_id === product.previous_product_key_id) return <span className="warn">the old one: give it the new key</span>;
  return <span className="bad">one that is no longer good</span>;
}

function Facet({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section aria-label={title}>
      <Text fw={650} size="sm" mb={4}>{title}</Text>
      <dl className={classes.facts}>{children}</dl>
    </section>
  );
}

function Fact({ name, wide = false, children }: { name: string; wide?: boolean; children: ReactNode }) {
  return (
    <div className={wide ? classes.wide : undefined}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function shown(value: unknown): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "string" ? value : JSON.stringify(value);
}

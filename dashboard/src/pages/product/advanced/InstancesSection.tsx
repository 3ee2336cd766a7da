import { Button, Code, Group, Skeleton, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Outlet, useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";

import { instancesQuery, rolloutQuery } from "~/api/queries";
import type { Instance } from "~/api/types";
import { DataTable, type Column } from "~/components/DataTable";
import { EmptyState } from "~/components/EmptyState";
import { Failure } from "~/components/Failure";
import { SearchField, StateFilter } from "~/components/filters";
import { LinkAnchor } from "~/components/links";
import { TimeAgo } from "~/components/TimeAgo";
import { integer } from "~/lib/format";
import { useMay } from "~/session/session";

import { useProductId } from "../ProductLayout";
import { AppliedRevision, InstanceState } from "./InstanceState";
import { desiredOf, SHOW_WORDS, shownOf, SHOWS, summaryOf, type Desired, type InstancesSearch, type Sort } from "./instances";
import { ReconnectDialog } from "./ReconnectDialog";
import { Section } from "./Section";

const PATH = "/products/$productId/advanced/instances";
const route = getRouteApi(PATH);

/** The instances of a product, and one of them in a drawer of its own address. */
export function InstancesSection() {
  const productId = useProductId();
  const search = route.useSearch();
  const navigate = useNavigate({ from: PATH });
  const instances = useQuery(instancesQuery(productId));
  const rollout = useQuery(rolloutQuery(productId)).data;
  const mayReconnect = useMay("operator");
  const [reconnecting, setReconnecting] = useState(false);
  const all = instances.data;
  const desired = useMemo(() => desiredOf(rollout), [rollout]);
  const rows = useMemo(() => shownOf(all ?? [], search, desired), [all, search, desired]);
  const live = all?.filter((each) => each.state === "live").length ?? 0;
  const change = (next: Partial<InstancesSearch>): void => {
    void navigate({ to: ".", search: (old) => clean({ ...old, ...next }), replace: true, resetScroll: false });
  };
  return (
    <Section
      title="Instances"
      about={all ? summaryOf(all) : ""}
      actions={mayReconnect && live > 0 ? <Button variant="default" onClick={() => { setReconnecting(true); }}>Reconnect all…</Button> : null}
    >
      {instances.error && !all ? <Failure error={instances.error} title="The instances could not be read" retry={() => void instances.refetch()} /> : null}
      {instances.isPending ? <Skeleton h={240} radius="md" aria-label="Loading" /> : null}
      {all?.length === 0 ? (
        <EmptyState title="No instance has reported yet">
          Start one with <Code>PRODUCT_ID={productId}</Code> and the{" "}
          <LinkAnchor inherit underline="always" to="/products/$productId/advanced/key" params={{ productId }}>product key</LinkAnchor>. It stands here from its first heartbeat on.
        </EmptyState>
      ) : null}
      {all && all.length > 0 ? <Filter search={search} onChange={change} /> : null}
      {all && all.length > 0 && rows.length === 0 ? (
        <EmptyState title="No instance matches" action={<Button variant="default" onClick={() => { change({ q: "", show: undefined }); }}>Show all {integer(all.length)}</Button>}>
          Nothing has this name and state.
        </EmptyState>
      ) : null}
      {rows.length > 0 ? (
        <DataTable
          label="Instances"
          columns={columns(productId, desired)}
          rows={rows}
          rowKey={(each) => each.instance_id}
          rowHeight={58}
          sort={search.sort ?? "name"}
          down={search.down ?? false}
          onSort={(sort) => { change({ sort, down: (search.sort ?? "name") === sort && !search.down }); }}
        />
      ) : null}
      {reconnecting ? <ReconnectDialog productId={productId} live={live} onClose={() => { setReconnecting(false); }} /> : null}
      <Outlet />
    </Section>
  );
}

function Filter({ search, onChange }: { search: InstancesSearch; onChange: (next: Partial<InstancesSearch>) => void }) {
  return (
    <Group gap="sm">
      <SearchField what="instances" by="name, host, version or client id" value={search.q} onChange={(q) => { onChange({ q }); }} />
      <StateFilter states={SHOWS.map((show) => [show, SHOW_WORDS[show]] as const)} value={search.show} onChange={(show) => { onChange({ show }); }} />
    </Group>
  );
}

function columns(productId: number, desired: Desired): readonly Column<Instance, Sort>[] {
  return [
    { name: "Instance", width: "minmax(10rem, 1.6fr)", narrow: true, sort: "name", cell: (each) => <Name productId={productId} instance={each} /> },
    { name: "State", width: "minmax(8.5rem, 1.2fr)", narrow: true, sort: "state", cell: (each) => <InstanceState instance={each} /> },
    { name: "Client id", width: "minmax(7rem, 1fr)", cell: (each) => <Text span inherit lineClamp={2}>{each.client_id ?? "–"}</Text> },
    { name: "Revision", width: "minmax(8.5rem, 1.4fr)", narrow: true, sort: "revision", cell: (each) => <AppliedRevision instance={each} desired={desired} /> },
    { name: "Messages", width: "6.5rem", end: true, sort: "messages", cell: (each) => integer(each.messages_received) },
    {
      name: "Failures", width: "6rem", end: true, sort: "failures",
      cell: (each) => <span className={each.actions_failed > 0 ? "bad" : undefined}>{integer(each.actions_failed)}</span>,
    },
    { name: "Heartbeat", width: "7rem", narrow: true, sort: "heard", cell: (each) => <TimeAgo at={each.last_heartbeat_at} /> },
  ];
}

function Name({ productId, instance }: { productId: number; instance: Instance }) {
  return (
    <>
      <LinkAnchor
        to="/products/$productId/advanced/instances/$instanceId"
        params={{ productId, instanceId: instance.instance_id }}
        search
        resetScroll={false}
        fw={600}
        size="sm"
      >
        {instance.instance_id}
      </LinkAnchor>
      <Text size="xs" c="dimmed" lineClamp={1}>{[instance.host, instance.version].filter(Boolean).join(" · ")}</Text>
    </>
  );
}

/** Nothing stands in the address that says no more than its absence. */
function clean({ q, show, sort, down }: Partial<InstancesSearch>): InstancesSearch {
  return { ...(q ? { q } : {}), ...(show ? { show } : {}), ...(sort && sort !== "name" ? { sort } : {}), ...(down ? { down } : {}) };
}

import { Button, Group, Skeleton, Stack, Text, Title } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";

import { fleetQuery } from "~/api/queries";
import type { FleetProduct } from "~/api/types";
import { DataTable, type Column } from "~/components/DataTable";
import { EmptyState } from "~/components/EmptyState";
import { Failure } from "~/components/Failure";
import { SearchField, StateFilter } from "~/components/filters";
import { LinkAnchor } from "~/components/links";
import { Sparkline } from "~/components/Sparkline";
import { StateBadge, STATES } from "~/components/StateBadge";
import { TimeAgo } from "~/components/TimeAgo";
import { useRate } from "~/components/useRate";
import { count, integer, rate } from "~/lib/format";
import { useMay } from "~/session/session";

import { rolloutWords } from "../product/rollout";
import { CreateProduct } from "./CreateProduct";
import { lastMinute, shown, STATE_NAMES, type FleetSearch, type Sort } from "./search";

const route = getRouteApi("/");

export function FleetPage() {
  const search = route.useSearch();
  const navigate = useNavigate({ from: "/" });
  const fleet = useQuery(fleetQuery);
  const mayCreate = useMay("operator");
  const [creating, setCreating] = useState(false);
  const products = fleet.data;
  const rows = useMemo(() => shown(products ?? [], search), [products, search]);
  const change = (next: Partial<FleetSearch>): void => {
    void navigate({ search: (old) => clean({ ...old, ...next }), replace: true, resetScroll: false });
  };
  const create = mayCreate ? (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => { setCreating(true); }}>New product</Button>
  ) : null;
  return (
    <Stack gap="md">
      <Group justify="space-between">
        <div>
          <Title order={1} size="h2">Products</Title>
          <Text c="dimmed" size="sm" mih="1.5em">{products ? summary(products) : ""}</Text>
        </div>
        {create}
      </Group>
      <Group gap="sm">
        <SearchField what="products" by="name or description" value={search.q} onChange={(q) => { change({ q }); }} />
        <StateFilter states={STATE_NAMES.map((state) => [state, STATES[state].words] as const)} value={search.state} onChange={(state) => { change({ state }); }} />
      </Group>
      {fleet.error && !products ? <Failure error={fleet.error} title="The products could not be read" retry={() => void fleet.refetch()} /> : null}
      {fleet.isPending ? <Skeleton h={320} radius="md" aria-label="Loading" /> : null}
      {products?.length === 0 ? (
        <EmptyState title="No product yet" action={create}>
          A product is what your instances run: they share one MQTT configuration.{" "}
          {mayCreate ? "Create one, enter its broker, and start an instance with its key." : "An operator can create one."}
        </EmptyState>
      ) : null}
      {products && products.length > 0 && rows.length === 0 ? (
        <EmptyState title="No product matches" action={<Button variant="default" onClick={() => { change({ q: "", state: undefined }); }}>Show all {integer(products.length)}</Button>}>
          Nothing has this name and state.
        </EmptyState>
      ) : null}
      {rows.length > 0 ? (
        <DataTable
          label="Products"
          columns={COLUMNS}
          rows={rows}
          rowKey={(each) => each.product_id}
          rowHeight={58}
          sort={search.sort ?? "urgency"}
          down={search.down ?? false}
          onSort={(sort) => { change({ sort, down: (search.sort ?? "urgency") === sort && !search.down }); }}
        />
      ) : null}
      {creating ? <CreateProduct onClose={() => { setCreating(false); }} /> : null}
    </Stack>
  );
}

const COLUMNS: readonly Column<FleetProduct, Sort>[] = [
  { name: "Name", width: "minmax(12rem, 2.2fr)", sort: "name", narrow: true, cell: (each) => <Name product={each} /> },
  { name: "State", width: "minmax(9.5rem, 1fr)", sort: "urgency", narrow: true, cell: (each) => <State product={each} /> },
  { name: "Instances", width: "minmax(7rem, 0.8fr)", sort: "instances", narrow: true, cell: (each) => <Instances product={each} /> },
  { name: "Revision", width: "minmax(8.5rem, 1fr)", cell: (each) => <RevisionCell product={each} /> },
  { name: "Messages / s", width: "11.5rem", sort: "rate", narrow: true, end: true, cell: (each) => <Rate product={each} /> },
  { name: "Last message", width: "8.5rem", sort: "last_message", cell: (each) => <TimeAgo at={each.last_message_at} /> },
  {
    name: "Failures",
    width: "6rem",
    sort: "failures",
    end: true,
    cell: (each) => <span className={each.actions_failed > 0 ? "bad" : undefined}>{integer(each.actions_failed)}</span>,
  },
];

function Name({ product }: { product: FleetProduct }) {
  return (
    <>
      <LinkAnchor to="/products/$productId/broker" params={{ productId: product.product_id }} fw={600} size="sm" lineClamp={1} title={product.name}>
        {product.name}
      </LinkAnchor>
      <Text size="xs" c="dimmed" lineClamp={1} title={product.description}>{product.description}</Text>
    </>
  );
}

function State({ product }: { product: FleetProduct }) {
  return (
    <span title={product.connection_error ?? undefined}>
      <StateBadge state={product.state} />
    </span>
  );
}

function Instances({ product: { instances } }: { product: FleetProduct }) {
  if (instances.live === 0) return <Text span inherit c="dimmed">none live</Text>;
  return <>{integer(instances.connected)} of {integer(instances.live)}</>;
}

function RevisionCell({ product }: { product: FleetProduct }) {
  if (!product.configured) return <Text span inherit c="dimmed">–</Text>;
  const { live, applied, rejected, pending, drifted } = product.instances;
  const { text, tone } = rolloutWords({ ...product, total: live, applied, rejected, pending, drifted, complete: applied + rejected >= live });
  return (
    <>
      {integer(product.desired_revision)}
      <Text size="xs" className={tone}>{text}</Text>
    </>
  );
}

function Rate({ product }: { product: FleetProduct }) {
  const now = useRate({ productId: product.product_id, lastMessageAt: product.last_message_at }) ?? lastMinute(product);
  return (
    <Group gap="xs" wrap="nowrap" justify="flex-end">
      <Sparkline values={product.recent} />
      <Text span inherit miw="3.2rem" ta="end">{rate(now)}</Text>
    </Group>
  );
}

function summary(products: readonly FleetProduct[]): string {
  const troubled = products.filter((each) => each.state === "disconnected" || each.state === "degraded").length;
  const all = count(products.length, "product");
  if (products.length === 0) return "";
  return troubled === 0 ? `${all}, none in trouble` : `${all}, ${integer(troubled)} in trouble`;
}

/** Nothing stands in the address that says no more than its absence. */
function clean(search: Partial<FleetSearch>): FleetSearch {
  const { q, state, sort, down } = search;
  return { ...(q ? { q } : {}), ...(state ? { state } : {}), ...(sort && sort !== "urgency" ? { sort } : {}), ...(down ? { down } : {}) };
}

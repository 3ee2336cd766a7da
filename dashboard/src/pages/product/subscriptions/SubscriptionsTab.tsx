import { ActionIcon, Button, Group, Menu, Skeleton, Stack, Switch, Text } from "@mantine/core";
import { IconCopy, IconDotsVertical, IconPencil, IconPlus, IconTestPipe, IconTrash } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";

import { configQuery } from "~/api/queries";
import type { Subscription } from "~/api/types";
import { DataTable, type Column } from "~/components/DataTable";
import { EmptyState } from "~/components/EmptyState";
import { SearchField } from "~/components/filters";
import { LinkAnchor, LinkButton } from "~/components/links";
import { TimeAgo } from "~/components/TimeAgo";
import { useRate } from "~/components/useRate";
import { count, integer, rate } from "~/lib/format";
import { useMay } from "~/session/session";

import { useProductId } from "../ProductLayout";
import { DeleteDialog } from "./DeleteDialog";
import { NoBroker } from "./NoBroker";
import { shown, type Sort } from "./search";
import { useToggle } from "./writes";

const ROW_PX = 58;
const route = getRouteApi("/products/$productId/subscriptions");

/** The subscriptions of a product, with what they have counted so far. */
export function SubscriptionsTab() {
  const productId = useProductId();
  const config = useQuery(configQuery(productId)).data;
  const search = route.useSearch();
  const navigate = useNavigate({ from: "/products/$productId/subscriptions" });
  const may = useMay("operator");
  const [leaving, setLeaving] = useState<Subscription | null>(null);
  const all = config?.subscriptions;
  const rows = useMemo(() => shown(all ?? [], search), [all, search]);
  const columns = useMemo(() => columnsOf(productId, may, setLeaving), [productId, may]);
  if (!config) return <Skeleton h={240} aria-label="Loading" />;
  if (!config.mqtt_config || !all) return <NoBroker productId={productId} />;
  const change = (next: { q?: string; sort?: Sort; down?: boolean }): void => {
    void navigate({ search: (old) => ({ ...old, ...next }), replace: true, resetScroll: false });
  };
  const add = may ? (
    <LinkButton to="/products/$productId/subscriptions/new" params={{ productId }} leftSection={<IconPlus size={16} aria-hidden />}>Add subscription</LinkButton>
  ) : null;
  if (all.length === 0) {
    return (
      <EmptyState title="No subscriptions yet" action={add}>
        Instances of this product listen to nothing until there is one. {may ? "Add one, and say what happens with its messages." : "An operator can add one."}
      </EmptyState>
    );
  }
  const sort = search.sort ?? "name";
  return (
    <Stack gap="sm">
      <Group justify="space-between" align="flex-end">
        <SearchField what="subscriptions" by="name, topic or description" value={search.q} onChange={(q) => { change({ q }); }} />
        {may ? (
          <Group gap="xs">
            <LinkButton variant="default" to="/products/$productId/subscriptions/try" params={{ productId }} leftSection={<IconTestPipe size={16} aria-hidden />}>Try a message</LinkButton>
            {add}
          </Group>
        ) : null}
      </Group>
      <Text size="sm" c="dimmed" role="status">
        {search.q?.trim() ? `${integer(rows.length)} of ${count(all.length, "subscription")}` : count(all.length, "subscription")}
      </Text>
      {rows.length === 0 ? (
        <EmptyState title="No subscription matches" action={<Button variant="default" onClick={() => { change({ q: "" }); }}>Show all {integer(all.length)}</Button>}>
          Nothing has this in its name, topic or description.
        </EmptyState>
      ) : (
        <DataTable label="Subscriptions" columns={columns} rows={rows} rowKey={(each) => each.id} rowHeight={ROW_PX} sort={sort} down={search.down ?? false}
          onSort={(next) => { change({ sort: next, down: sort === next && !search.down }); }} />
      )}
      {leaving ? <DeleteDialog productId={productId} revision={config.revision} subscription={leaving} onClose={() => { setLeaving(null); }} /> : null}
    </Stack>
  );
}

function columnsOf(productId: number, may: boolean, onDelete: (subscription: Subscription) => void): Column<Subscription, Sort>[] {
  return [
    { name: "Subscription", width: "minmax(14rem, 3fr)", sort: "name", narrow: true, cell: (each) => <Name productId={productId} subscription={each} /> },
    { name: "On", width: "4rem", sort: "enabled", narrow: true, cell: (each) => (may ? <Toggle productId={productId} subscription={each} /> : each.enabled ? "On" : "Off") },
    { name: "Messages", width: "minmax(6.5rem, 1fr)", sort: "messages", end: true, narrow: true, cell: (each) => <Messages subscription={each} /> },
    { name: "Per second", width: "minmax(5.5rem, 1fr)", end: true, cell: (each) => <Rate productId={productId} subscription={each} /> },
    {
      name: "Failed",
      width: "minmax(5.5rem, 1fr)",
      sort: "failed",
      end: true,
      cell: ({ stats }) => <span className={stats?.actions_failed ? "bad" : undefined}>{integer(stats?.actions_failed ?? 0)}</span>,
    },
    { name: "Last message", width: "minmax(8rem, 1fr)", sort: "last_message", cell: (each) => <TimeAgo at={each.stats?.last_message_at} /> },
    ...(may ? [{ name: "More", width: "2.75rem", narrow: true, end: true, cell: (each: Subscription) => <More productId={productId} subscription={each} onDelete={onDelete} /> }] : []),
  ];
}

function Name({ productId, subscription: { id, name, description, topic_filter } }: { productId: number; subscription: Subscription }) {
  return (
    <>
      <LinkAnchor to="/products/$productId/subscriptions/$subscriptionId" params={{ productId, subscriptionId: id }} fw={600} size="sm" title={description}>{name}</LinkAnchor>
      <Text size="xs" c="dimmed" ff="monospace" lineClamp={1} title={topic_filter}>{topic_filter}</Text>
    </>
  );
}

function Toggle({ productId, subscription }: { productId: number; subscription: Subscription }) {
  const toggle = useToggle(productId);
  return (
    <Switch aria-label={`${subscription.name} on`} checked={subscription.enabled}
      onChange={(event) => { toggle.mutate({ subscription, enabled: event.currentTarget.checked }); }} />
  );
}

/** On a narrow page the word stands beside the figure, which has no header there. */
function Messages({ subscription: { stats } }: { subscription: Subscription }) {
  const received = stats?.messages_received ?? 0;
  return <>{integer(received)}<Text span hiddenFrom="md" c="dimmed" size="sm"> {received === 1 ? "message" : "messages"}{stats?.actions_failed ? `, ${integer(stats.actions_failed)} failed` : ""}</Text></>;
}

function Rate({ productId, subscription: { id, stats } }: { productId: number; subscription: Subscription }) {
  const perSecond = useRate({ productId, subscriptionId: id, lastMessageAt: stats?.last_message_at });
  return perSecond === null ? "–" : rate(perSecond);
}

function More({ productId, subscription, onDelete }: { productId: number; subscription: Subscription; onDelete: (subscription: Subscription) => void }) {
  const navigate = useNavigate();
  const { id, name } = subscription;
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={`More for ${name}`}><IconDotsVertical size={18} aria-hidden /></ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item leftSection={<IconPencil size={16} aria-hidden />} onClick={() => void navigate({ to: "/products/$productId/subscriptions/$subscriptionId", params: { productId, subscriptionId: id } })}>Edit</Menu.Item>
        <Menu.Item leftSection={<IconCopy size={16} aria-hidden />} onClick={() => void navigate({ to: "/products/$productId/subscriptions/new", params: { productId }, search: { from: id } })}>Duplicate</Menu.Item>
        <Menu.Item leftSection={<IconTrash size={16} aria-hidden />} className="bad" onClick={() => { onDelete(subscription); }}>Delete…</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

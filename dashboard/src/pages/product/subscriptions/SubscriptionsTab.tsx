import { ActionIcon, Skeleton, Stack, Switch, Text, TextInput } from "@mantine/core";
import { IconTrash } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef, useState } from "react";

import { configQuery } from "~/api/queries";
import type { Subscription } from "~/api/types";
import { EmptyState } from "~/components/EmptyState";
import { LinkButton } from "~/components/links";
import { TimeAgo } from "~/components/TimeAgo";
import { useRate } from "~/components/useRate";
import { count, integer, rate } from "~/lib/format";
import { useMay } from "~/session/session";

import { useProductId } from "../ProductLayout";
import { DeleteDialog } from "./DeleteDialog";
import classes from "./SubscriptionsTab.module.css";
import { useToggle } from "./writes";

const ROW_PX = 64;

/** The subscriptions of a product, with what they have counted so far. */
export function SubscriptionsTab() {
  const productId = useProductId();
  const config = useQuery(configQuery(productId)).data;
  const [search, setSearch] = useState("");
  const [leaving, setLeaving] = useState<Subscription | null>(null);
  if (!config) return <Skeleton h={240} aria-label="Loading" />;
  if (!config.mqtt_config) {
    return (
      <EmptyState title="No broker yet" action={<LinkButton to="/products/$productId/broker" params={{ productId }}>Set up the broker</LinkButton>}>
        Subscriptions need a broker to subscribe at.
      </EmptyState>
    );
  }
  const all = config.subscriptions ?? [];
  if (all.length === 0) return <EmptyState title="No subscriptions yet">Instances of this product listen to nothing until there is one.</EmptyState>;
  const wanted = search.trim().toLowerCase();
  const shown = all.filter((each) => `${each.name} ${each.topic_filter} ${each.description}`.toLowerCase().includes(wanted));
  return (
    <Stack gap="sm">
      <TextInput label="Search" placeholder="Name, topic or description" value={search} maw="24rem"
        onChange={(event) => { setSearch(event.currentTarget.value); }} />
      <Text size="sm" c="dimmed" role="status">
        {wanted ? `${integer(shown.length)} of ${count(all.length, "subscription")}` : count(all.length, "subscription")}
      </Text>
      <Rows productId={productId} subscriptions={shown} onDelete={setLeaving} />
      {leaving ? <DeleteDialog productId={productId} revision={config.revision} subscription={leaving} onClose={() => { setLeaving(null); }} /> : null}
    </Stack>
  );
}

interface RowsProps {
  productId: number;
  subscriptions: Subscription[];
  onDelete: (subscription: Subscription) => void;
}

/** Only the rows in sight are in the page. */
function Rows({ productId, subscriptions, onDelete }: RowsProps) {
  "use no memo";
  const scroll = useRef<HTMLDivElement>(null);
  // eslint-disable-next-line react-hooks/incompatible-library -- the rows follow the virtualizer's own renders
  const rows = useVirtualizer({
    count: subscriptions.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => ROW_PX,
    getItemKey: (index) => subscriptions[index]?.id ?? index,
    overscan: 8,
  });
  return (
    <div ref={scroll} className={`surface ${classes.scroll ?? ""}`} role="table" aria-label="Subscriptions" aria-rowcount={subscriptions.length + 1} tabIndex={0}>
      <div className={`${classes.row ?? ""} ${classes.head ?? ""}`} role="row" aria-rowindex={1}>
        <span role="columnheader">On</span>
        <span role="columnheader">Subscription</span>
        <span role="columnheader" className={classes.number}>Messages</span>
        <span role="columnheader" className={classes.number}>Per second</span>
        <span role="columnheader" className={classes.number}>Failed actions</span>
        <span role="columnheader">Last message</span>
        <span role="columnheader">Delete</span>
      </div>
      <div className={classes.body} role="rowgroup" style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map((item) => {
          const subscription = subscriptions[item.index];
          if (!subscription) return null;
          return (
            <div key={item.key} ref={rows.measureElement} data-index={item.index} className={classes.row} role="row"
              aria-rowindex={item.index + 2} style={{ transform: `translateY(${item.start}px)` }}>
              <Cells productId={productId} subscription={subscription} onDelete={onDelete} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Cells({ productId, subscription, onDelete }: Omit<RowsProps, "subscriptions"> & { subscription: Subscription }) {
  const perSecond = useRate(productId, subscription.id);
  const toggle = useToggle(productId);
  const may = useMay("operator");
  const { name, enabled, stats } = subscription;
  return (
    <>
      <span role="cell">
        {may ? (
          <Switch aria-label={`${name} on`} checked={enabled}
            onChange={(event) => { toggle.mutate({ subscription, enabled: event.currentTarget.checked }); }} />
        ) : (enabled ? "On" : "Off")}
      </span>
      <span role="cell">
        <Text fw={600} title={subscription.description}>{name}</Text>
        <Text size="xs" c="dimmed" ff="monospace" lineClamp={1} title={subscription.topic_filter}>{subscription.topic_filter}</Text>
      </span>
      <span role="cell" className={classes.number}>{integer(stats?.messages_received ?? 0)}</span>
      <span role="cell" className={classes.number}>{perSecond === null ? "–" : rate(perSecond)}</span>
      <span role="cell" className={`${classes.number ?? ""} ${stats?.actions_failed ? "bad" : ""}`}>{integer(stats?.actions_failed ?? 0)}</span>
      <span role="cell"><TimeAgo at={stats?.last_message_at} /></span>
      <span role="cell">
        {may ? <ActionIcon variant="subtle" color="red" aria-label={`Delete ${name}`} onClick={() => { onDelete(subscription); }}><IconTrash size={18} /></ActionIcon> : null}
      </span>
    </>
  );
}

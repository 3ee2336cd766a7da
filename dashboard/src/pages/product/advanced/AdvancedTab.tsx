/** Instances one by one, and the history of the configuration. */

import { Button, Group, Modal, Stack, Text, Title } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { IconCircleCheckFilled, IconCircleXFilled, IconMoon2 } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, need } from "~/api/client";
import { words } from "~/api/problem";
import { configQuery, instancesQuery, keys } from "~/api/queries";
import type { Instance, Revision } from "~/api/types";
import { DataTable, type Column } from "~/components/DataTable";
import { EmptyState } from "~/components/EmptyState";
import { Failure } from "~/components/Failure";
import { ToneBadge } from "~/components/StateBadge";
import { Moment, TimeAgo } from "~/components/TimeAgo";
import { integer } from "~/lib/format";
import { useMay } from "~/session/session";

import { useProductId } from "../ProductLayout";
import { effectWords } from "../rollout";

const HISTORY = 50;

export function AdvancedTab() {
  const productId = useProductId();
  return (
    <Stack gap="xl">
      <Instances productId={productId} />
      <History productId={productId} />
    </Stack>
  );
}

function Instances({ productId }: { productId: number }) {
  const instances = useQuery(instancesQuery(productId));
  const mayWrite = useMay("operator");
  const reconnect = useMutation({
    mutationFn: () => need(api.POST("/api/v1/products/{product_id}/mqtt-config/reconnect", { params: { path: { product_id: productId } } })),
    onSuccess: (answer) => { notifications.show({ message: answer.message, color: "green" }); },
    onError: (error) => { notifications.show({ title: "Not reconnected", message: words(error), color: "red", autoClose: false }); },
  });
  const rows = instances.data ?? [];
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <Title order={2} size="h4">Instances</Title>
        {mayWrite && rows.length > 0 ? <Button variant="default" loading={reconnect.isPending} onClick={() => { reconnect.mutate(); }}>Reconnect all</Button> : null}
      </Group>
      {instances.error && !instances.data ? <Failure error={instances.error} title="The instances could not be read" retry={() => void instances.refetch()} /> : null}
      {instances.data?.length === 0 ? (
        <EmptyState title="No instance has reported yet">Start one with PRODUCT_ID={productId} and the key of the product.</EmptyState>
      ) : null}
      {rows.length > 0 ? <DataTable label="Instances" columns={COLUMNS} rows={rows} rowKey={(each) => each.instance_id} rowHeight={58} /> : null}
    </Stack>
  );
}

const COLUMNS: readonly Column<Instance>[] = [
  {
    name: "Instance", width: "minmax(10rem, 1.5fr)", narrow: true,
    cell: (each) => <><Text size="sm" fw={600}>{each.instance_id}</Text><Text size="xs" c="dimmed">{each.host} {each.version}</Text></>,
  },
  { name: "State", width: "minmax(9rem, 1fr)", narrow: true, cell: (each) => <InstanceState instance={each} /> },
  {
    name: "Applied revision", width: "minmax(10rem, 1.5fr)", narrow: true,
    cell: (each) => (
      <>
        {each.applied_revision === null ? "none" : integer(each.applied_revision)}
        {each.rejected ? <Text size="xs" className="bad">rejected {integer(each.rejected.revision)}: {each.rejected.error}</Text> : null}
      </>
    ),
  },
  { name: "Messages", width: "7rem", end: true, cell: (each) => integer(each.messages_received) },
  { name: "Failures", width: "6rem", end: true, cell: (each) => integer(each.actions_failed) },
  { name: "Last heard", width: "8rem", narrow: true, cell: (each) => <TimeAgo at={each.last_heartbeat_at} /> },
];

function InstanceState({ instance }: { instance: Instance }) {
  if (instance.state !== "live") return <ToneBadge tone="idle" icon={IconMoon2}>{instance.state === "stale" ? "Silent" : "Stopped"}</ToneBadge>;
  if (instance.connected) return <ToneBadge tone="good" icon={IconCircleCheckFilled}>Connected</ToneBadge>;
  return (
    <>
      <ToneBadge tone="bad" icon={IconCircleXFilled}>Not connected</ToneBadge>
      <Text size="xs" className="bad">{instance.connection_error}</Text>
    </>
  );
}

function History({ productId }: { productId: number }) {
  const [restoring, setRestoring] = useState<number | null>(null);
  const current = useQuery(configQuery(productId)).data?.revision;
  const mayWrite = useMay("operator");
  const revisions = useQuery({
    queryKey: keys.revisions(productId),
    queryFn: () => need(api.GET("/api/v1/products/{product_id}/mqtt-config/revisions", { params: { path: { product_id: productId }, query: { limit: HISTORY } } })),
  });
  const rows = revisions.data?.revisions ?? [];
  const columns: readonly Column<Revision>[] = [
    { name: "Revision", width: "6rem", narrow: true, cell: (each) => integer(each.revision) },
    { name: "What", width: "minmax(10rem, 2fr)", narrow: true, cell: (each) => each.action },
    { name: "By", width: "minmax(8rem, 1fr)", narrow: true, cell: (each) => each.changed_by },
    { name: "When", width: "minmax(11rem, 1fr)", narrow: true, cell: (each) => <Moment at={each.changed_at} /> },
    {
      name: "Go back", width: "7rem", narrow: true,
      cell: (each) => mayWrite && each.after && each.revision !== current
        ? <Button size="compact-sm" variant="default" aria-label={`Restore revision ${each.revision}`} onClick={() => { setRestoring(each.revision); }}>Restore</Button>
        : null,
    },
  ];
  return (
    <Stack gap="sm">
      <Title order={2} size="h4">History</Title>
      {revisions.error ? <Failure error={revisions.error} title="The history could not be read" retry={() => void revisions.refetch()} /> : null}
      {revisions.data && rows.length === 0 ? <EmptyState title="No change yet">Each change of the configuration stands here, with who made it.</EmptyState> : null}
      {rows.length > 0 ? <DataTable label="History" columns={columns} rows={rows} rowKey={(each) => each.revision} rowHeight={48} /> : null}
      {revisions.data?.next_cursor ? <Text size="sm" c="dimmed">The newest {HISTORY} changes. Older ones are in the API.</Text> : null}
      {restoring === null ? null : <Restore productId={productId} revision={restoring} onClose={() => { setRestoring(null); }} />}
    </Stack>
  );
}

/** Says what going back would do, then does it. */
function Restore({ productId, revision, onClose }: { productId: number; revision: number; onClose: () => void }) {
  const client = useQueryClient();
  const restore = (dry_run: boolean) =>
    need(api.POST("/api/v1/products/{product_id}/mqtt-config/revisions/{revision}/restore", {
      params: { path: { product_id: productId, revision }, query: { dry_run } },
    }));
  const preview = useQuery({ queryKey: [...keys.revisions(productId), revision, "restore"], queryFn: () => restore(true), gcTime: 0, staleTime: 0 });
  const write = useMutation({
    mutationFn: () => restore(false),
    onSuccess: async (answer) => {
      notifications.show({ message: answer.message, color: "green" });
      onClose();
      await client.invalidateQueries({ queryKey: keys.product(productId) });
    },
  });
  const error = write.error ?? preview.error;
  return (
    <Modal opened onClose={onClose} title={`Restore revision ${revision}?`}>
      {error ? <Failure error={error} title="Not restored" /> : null}
      <Text size="sm" mih="3em">{preview.data?.effect ? effectWords(preview.data.effect) : preview.isPending ? "Asking what it would do…" : ""}</Text>
      <Group justify="flex-end" mt="md">
        <Button variant="default" onClick={onClose} data-autofocus>Cancel</Button>
        <Button disabled={!preview.data} loading={write.isPending} onClick={() => { write.mutate(); }}>Restore</Button>
      </Group>
    </Modal>
  );
}

import { Badge, Button, Group, Skeleton, Text } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { configQuery } from "~/api/queries";
import type { Revision } from "~/api/types";
import { DataTable, type Column } from "~/components/DataTable";
import { EmptyState } from "~/components/EmptyState";
import { Failure } from "~/components/Failure";
import { LinkAnchor } from "~/components/links";
import { Moment } from "~/components/TimeAgo";
import { integer } from "~/lib/format";
import { useMay } from "~/session/session";

import { useProductId } from "../ProductLayout";
import { revisionWords } from "./changes";
import { historyQuery } from "./history";
import { RestoreDialog } from "./RestoreDialog";
import { Section } from "./Section";

/** Who changed what, and when; and the way back. */
export function HistorySection() {
  const productId = useProductId();
  const current = useQuery(configQuery(productId)).data?.revision ?? null;
  const history = useInfiniteQuery(historyQuery(productId));
  const mayRestore = useMay("operator");
  const [restoring, setRestoring] = useState<number | null>(null);
  const rows = history.data?.pages.flatMap((page) => page.revisions) ?? [];
  const columns: readonly Column<Revision>[] = [
    { name: "Revision", width: "8rem", narrow: true, cell: (each) => <Number productId={productId} revision={each.revision} current={each.revision === current} /> },
    {
      name: "When", width: "minmax(12rem, 1fr)", narrow: true,
      cell: (each) => <><Moment at={each.changed_at} /><Text size="xs" c="dimmed" lineClamp={1}>by {each.changed_by}</Text></>,
    },
    { name: "What", width: "minmax(12rem, 3fr)", narrow: true, line: true, cell: (each) => <What revision={each} /> },
    ...(mayRestore ? [{
      // On a narrow page it is on the page of the revision.
      name: "Go back", width: "7rem", end: true,
      cell: (each: Revision) => each.after && each.revision !== current
        ? <Button size="compact-sm" variant="default" aria-label={`Restore revision ${each.revision}…`} onClick={() => { setRestoring(each.revision); }}>Restore…</Button>
        : null,
    }] : []),
  ];
  return (
    <Section title="History" about="Each change of the configuration is a revision. Open one to see what it changed, or to compare it with any other.">
      {history.error && !history.data ? <Failure error={history.error} title="The history could not be read" retry={() => void history.refetch()} /> : null}
      {history.isPending ? <Skeleton h={240} radius="md" aria-label="Loading" /> : null}
      {history.data && rows.length === 0 ? <EmptyState title="No change yet">Each change of the configuration stands here, with who made it.</EmptyState> : null}
      {rows.length > 0 ? <DataTable label="History" columns={columns} rows={rows} rowKey={(each) => each.revision} rowHeight={58} /> : null}
      {history.hasNextPage
        ? <Group justify="center"><Button variant="default" loading={history.isFetchingNextPage} onClick={() => void history.fetchNextPage()}>Show older ones</Button></Group>
        : null}
      {restoring === null ? null : <RestoreDialog productId={productId} revision={restoring} onClose={() => { setRestoring(null); }} />}
    </Section>
  );
}

function Number({ productId, revision, current }: { productId: number; revision: number; current: boolean }) {
  return (
    <Group gap="xs" wrap="nowrap">
      <LinkAnchor to="/products/$productId/advanced/history/$revision" params={{ productId, revision }} size="sm" fw={600} aria-label={`Revision ${revision}`}>
        {integer(revision)}
      </LinkAnchor>
      {current ? <Badge variant="default" size="sm" tt="none">current</Badge> : null}
    </Group>
  );
}

function What({ revision }: { revision: Revision }) {
  const { title, detail } = revisionWords(revision);
  return (
    <>
      {title}
      <Text size="xs" c="dimmed" lineClamp={2} title={detail}>{detail}</Text>
    </>
  );
}

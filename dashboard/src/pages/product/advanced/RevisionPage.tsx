import { Alert, Button, Group, NumberInput, Skeleton, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useState } from "react";

import { ApiError } from "~/api/problem";
import { configQuery } from "~/api/queries";
import type { Revision } from "~/api/types";
import { EmptyState } from "~/components/EmptyState";
import { Failure } from "~/components/Failure";
import { LinkAnchor, LinkButton } from "~/components/links";
import { Moment } from "~/components/TimeAgo";
import { integer } from "~/lib/format";
import { useMay } from "~/session/session";

import { useProductId } from "../ProductLayout";
import { between, partsOf, revisionWords } from "./changes";
import { DiffView } from "./DiffView";
import { diffQuery, revisionQuery } from "./history";
import { RestoreDialog } from "./RestoreDialog";
import { Section } from "./Section";

const PATH = "/products/$productId/advanced/history/$revision";
const route = getRouteApi(PATH);

/** One revision: what it changed, or how it differs from another. */
export function RevisionPage() {
  const productId = useProductId();
  const { revision } = route.useParams();
  const found = useQuery(revisionQuery(productId, revision));
  const current = useQuery(configQuery(productId)).data?.revision ?? null;
  const mayRestore = useMay("operator");
  const [restoring, setRestoring] = useState(false);
  const all = <LinkAnchor to="/products/$productId/advanced/history" params={{ productId }} size="sm">All revisions</LinkAnchor>;
  if (found.error instanceof ApiError && [404, 422].includes(found.error.status)) {
    return (
      <EmptyState title={`There is no revision ${revision}`} action={<LinkButton variant="default" to="/products/$productId/advanced/history" params={{ productId }}>See all revisions</LinkButton>}>
        The address may be mistyped.
      </EmptyState>
    );
  }
  return (
    <>
      {all}
      <Section
        title={`Revision ${integer(revision)}${revision === current ? ", the current one" : ""}`}
        about={found.data ? <>{revisionWords(found.data).title} by {found.data.changed_by}, <Moment at={found.data.changed_at} /></> : ""}
        actions={mayRestore && found.data?.after && current !== null && revision !== current
          ? <Button variant="default" onClick={() => { setRestoring(true); }}>Restore…</Button> : null}
      >
        {found.error ? <Failure error={found.error} title="The revision could not be read" retry={() => void found.refetch()} /> : null}
        <Against key={revision} revision={revision} current={current} />
        {found.data ? <Differences productId={productId} revision={found.data} /> : <Skeleton h={160} radius="md" aria-label="Loading" />}
        {restoring ? <RestoreDialog productId={productId} revision={revision} onClose={() => { setRestoring(false); }} /> : null}
      </Section>
    </>
  );
}

/** Chooses the other revision. */
function Against({ revision, current }: { revision: number; current: number | null }) {
  const { against } = route.useSearch();
  const navigate = useNavigate({ from: PATH });
  const shown = against ?? Math.max(1, revision - 1);
  const [typed, setTyped] = useState<string | number>(shown);
  const choose = (other: number | undefined): void => {
    setTyped(other ?? Math.max(1, revision - 1));
    void navigate({ search: other === undefined ? {} : { against: other }, replace: true, resetScroll: false });
  };
  const wanted = typeof typed === "number" ? typed : Number.NaN;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (Number.isSafeInteger(wanted) && wanted >= 1) choose(wanted);
      }}
    >
      <Group gap="xs" align="flex-end">
        <NumberInput label="Compare with revision" value={typed} onChange={setTyped} min={1} allowDecimal={false} hideControls w="13rem" />
        <Button type="submit" variant="default" disabled={!(wanted >= 1)}>Compare</Button>
        <Button variant="subtle" disabled={against === undefined} onClick={() => { choose(undefined); }}>What it changed</Button>
        {current !== null && revision !== current
          ? <Button variant="subtle" disabled={against === current} onClick={() => { choose(current); }}>With the current one</Button> : null}
      </Group>
    </form>
  );
}

function Differences({ productId, revision }: { productId: number; revision: Revision }) {
  const { against } = route.useSearch();
  const diff = useQuery({ ...diffQuery(productId, revision.revision, against ?? 1), enabled: against !== undefined });
  if (against !== undefined && diff.error) {
    const gone = diff.error instanceof ApiError && diff.error.status === 404;
    return gone ? <Alert color="orange" title={`There is no revision ${integer(against)}`}>Compare with another one.</Alert>
      : <Failure error={diff.error} title="The two could not be compared" retry={() => void diff.refetch()} />;
  }
  if (against !== undefined && !diff.data) return <Skeleton h={160} radius="md" aria-label="Loading" />;
  const changes = against === undefined ? between(revision.before, revision.after) : (diff.data?.changes ?? []);
  const parts = partsOf(changes);
  if (parts.length === 0) {
    return <Text c="dimmed" role="status">No setting differs. A password or key may: they are never shown.</Text>;
  }
  return <DiffView parts={parts} before={against === undefined ? "Before" : `Revision ${integer(against)}`} after={`Revision ${integer(revision.revision)}`} />;
}

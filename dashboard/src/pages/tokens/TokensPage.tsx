import { Button, Group, Skeleton, Stack, Text, Title } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { fleetQuery, tokensQuery } from "~/api/queries";
import type { ApiToken } from "~/api/types";
import { DataTable, type Column } from "~/components/DataTable";
import { EmptyState } from "~/components/EmptyState";
import { Failure } from "~/components/Failure";
import { LinkButton } from "~/components/links";
import { Names } from "~/components/Names";
import { Moment, TimeAgo, useNow } from "~/components/TimeAgo";
import { useTitle } from "~/components/useTitle";
import { count } from "~/lib/format";
import { useMayTokens } from "~/session/session";

import { CreateToken } from "./CreateToken";
import { RevokeToken } from "./RevokeToken";

/** Who may do what: for administrators whose own token is for all products. */
export function TokensPage() {
  useTitle("Tokens");
  if (useMayTokens()) return <Tokens />;
  return (
    <EmptyState title="Not for your role" action={<LinkButton to="/">See all products</LinkButton>}>
      Administrators whose token is for all products see and make tokens.
    </EmptyState>
  );
}

function Tokens() {
  const tokens = useQuery(tokensQuery);
  const fleet = useQuery(fleetQuery).data;
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<ApiToken | null>(null);
  const rows = tokens.data;
  const create = <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => { setCreating(true); }}>New token…</Button>;
  const nameOf = (id: number): string => fleet?.find((each) => each.product_id === id)?.name ?? `product ${id}`;
  const columns: readonly Column<ApiToken>[] = [
    {
      name: "Name", width: "minmax(10rem, 2fr)", narrow: true,
      cell: (each) => <><Text span inherit fw={600} title={each.name} lineClamp={2}>{each.name}</Text><Text size="xs" c="dimmed" lineClamp={1}>made by {each.created_by}, <Moment at={each.created_at} /></Text></>,
    },
    { name: "Role", width: "7.5rem", narrow: true, cell: (each) => each.role },
    { name: "Products", width: "minmax(8rem, 1.5fr)", cell: (each) => each.product_ids === null ? "all" : <Names names={each.product_ids.map(nameOf)} /> },
    { name: "Expires", width: "minmax(8rem, 1fr)", narrow: true, cell: (each) => <Expiry at={each.expires_at} /> },
    { name: "Last used", width: "7rem", cell: (each) => <TimeAgo at={each.last_used_at} /> },
    {
      name: "Revoke", width: "6.5rem", end: true, narrow: true,
      cell: (each) => <Button size="compact-sm" variant="default" aria-label={`Revoke ${each.name}…`} onClick={() => { setRevoking(each); }}>Revoke…</Button>,
    },
  ];
  return (
    <Stack gap="md">
      <Group justify="space-between">
        <div>
          <Title order={1} size="h2">Tokens</Title>
          <Text c="dimmed" size="sm" mih="1.5em">{rows?.length ? `${count(rows.length, "token")}, beside the one that the service was started with` : ""}</Text>
        </div>
        {rows?.length === 0 ? null : create}
      </Group>
      {tokens.error && !rows ? <Failure error={tokens.error} title="The tokens could not be read" retry={() => void tokens.refetch()} /> : null}
      {tokens.isPending ? <Skeleton h={240} radius="md" aria-label="Loading" /> : null}
      {rows?.length === 0 ? <EmptyState title="No token yet" action={create}>Give each person and each program one of its own, that may do no more than it needs.</EmptyState> : null}
      {rows && rows.length > 0 ? <DataTable label="Tokens" columns={columns} rows={rows} rowKey={(each) => each.id} rowHeight={58} /> : null}
      {creating ? <CreateToken products={fleet ?? []} onClose={() => { setCreating(false); }} /> : null}
      {revoking ? <RevokeToken token={revoking} onClose={() => { setRevoking(null); }} /> : null}
    </Stack>
  );
}

function Expiry({ at }: { at: string | null }) {
  const now = useNow();
  if (at === null) return <Text span inherit c="dimmed">never</Text>;
  return Date.parse(at) <= now ? <span className="bad">expired <Moment at={at} /></span> : <Moment at={at} />;
}

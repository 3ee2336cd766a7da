import { ActionIcon, Button, Code, Group, Skeleton, Text, Tooltip } from "@mantine/core";
import { IconPencil, IconPlus, IconTrash } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { secretsQuery } from "~/api/queries";
import type { Secret } from "~/api/types";
import { DataTable, type Column } from "~/components/DataTable";
import { EmptyState } from "~/components/EmptyState";
import { Failure } from "~/components/Failure";
import { Names } from "~/components/Names";
import { Moment } from "~/components/TimeAgo";
import { useMay } from "~/session/session";

import { useProductId } from "../ProductLayout";
import { DeleteSecret } from "./DeleteSecret";
import { SecretDialog } from "./SecretDialog";
import { Section } from "./Section";

/** Values that templates of actions may refer to and that nobody can read again. */
export function SecretsSection() {
  const productId = useProductId();
  const secrets = useQuery(secretsQuery(productId));
  const mayWrite = useMay("operator");
  /** Null: a new one. */
  const [storing, setStoring] = useState<string | null | undefined>(undefined);
  const [deleting, setDeleting] = useState<string | null>(null);
  const rows = secrets.data;
  const add = mayWrite ? <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => { setStoring(null); }}>New secret…</Button> : null;
  const columns: readonly Column<Secret>[] = [
    { name: "Name", width: "minmax(10rem, 2fr)", narrow: true, line: true, cell: (each) => <Text span inherit fw={600}>{each.name}</Text> },
    { name: "Used by", width: "minmax(10rem, 2fr)", narrow: true, line: true, cell: (each) => <Names names={each.used_by ?? []} none="no action" /> },
    { name: "Stored", width: "minmax(11rem, 1fr)", narrow: true, cell: (each) => <Moment at={each.updated_at} /> },
    ...(mayWrite ? [{
      name: "Change", width: "6rem", end: true, narrow: true,
      cell: (each: Secret) => (
        <Group gap={4} wrap="nowrap">
          <Action label={`Store another value of ${each.name}`} onClick={() => { setStoring(each.name); }}><IconPencil size={18} /></Action>
          <Action label={`Delete ${each.name}`} color="red" onClick={() => { setDeleting(each.name); }}><IconTrash size={18} /></Action>
        </Group>
      ),
    }] : []),
  ];
  return (
    <Section
      title="Secrets"
      about={<>Templates of actions refer to one as <Code>{"{{ secrets.name }}"}</Code>. A value goes sealed to the instances and is never shown again.</>}
      actions={rows && rows.length > 0 ? add : null}
    >
      {secrets.error && !rows ? <Failure error={secrets.error} title="The secrets could not be read" retry={() => void secrets.refetch()} /> : null}
      {secrets.isPending ? <Skeleton h={160} radius="md" aria-label="Loading" /> : null}
      {rows?.length === 0 ? (
        <EmptyState title="No secret yet" action={add}>
          {mayWrite ? "Store a password or token here instead of writing it into an action." : "An operator can store passwords and tokens for actions."}
        </EmptyState>
      ) : null}
      {rows && rows.length > 0 ? <DataTable label="Secrets" columns={columns} rows={rows} rowKey={(each) => each.name} rowHeight={48} /> : null}
      {storing === undefined ? null : <SecretDialog productId={productId} name={storing} taken={rows?.map((each) => each.name) ?? []} onClose={() => { setStoring(undefined); }} />}
      {deleting === null ? null : <DeleteSecret productId={productId} name={deleting} onClose={() => { setDeleting(null); }} />}
    </Section>
  );
}

function Action({ label, color, onClick, children }: { label: string; color?: string; onClick: () => void; children: React.ReactNode }) {
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" size="lg" aria-label={label} onClick={onClick} {...(color ? { color } : {})}>{children}</ActionIcon>
    </Tooltip>
  );
}

import { ActionIcon, Alert, Button, Code, Group, Skeleton, Stack, Text, Tooltip } from "@mantine/core";
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
import { integer } from "~/lib/format";
import { useMay } from "~/session/session";

import { useProductId } from "../ProductLayout";
import { DeleteSecret } from "./DeleteSecret";
import { SecretDialog } from "./SecretDialog";
import { Section } from "./Section";
import classes from "./SecretsSection.module.css";

/** Values that templates of actions may refer to and that nobody can read again. */
export function SecretsSection() {
  const productId = useProductId();
  const secrets = useQuery(secretsQuery(productId));
  const mayWrite = useMay("operator");
  /** Null: a name that is to be entered. */
  const [storing, setStoring] = useState<{ name: string | null; stored: boolean } | null>(null);
  const [deleting, setDeleting] = useState<string | null>(null);
  const rows = secrets.data?.secrets;
  const missing = secrets.data?.missing ?? [];
  const add = mayWrite ? <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => { setStoring({ name: null, stored: false }); }}>New secret…</Button> : null;
  const columns: readonly Column<Secret>[] = [
    { name: "Name", width: "minmax(10rem, 2fr)", narrow: true, line: true, cell: (each) => <Text span inherit fw={600}>{each.name}</Text> },
    { name: "Used by", width: "minmax(10rem, 2fr)", narrow: true, line: true, cell: (each) => <Names names={each.used_by ?? []} none="no action" /> },
    { name: "Stored", width: "minmax(11rem, 1fr)", narrow: true, cell: (each) => <Moment at={each.updated_at} /> },
    ...(mayWrite ? [{
      name: "Change", width: "6rem", end: true, narrow: true,
      cell: (each: Secret) => (
        <Group gap={4} wrap="nowrap">
          <Action label={`Store another value of ${each.name}`} onClick={() => { setStoring({ name: each.name, stored: true }); }}><IconPencil size={18} /></Action>
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
      {missing.length > 0 ? (
        <Alert color="orange" title={missing.length === 1 ? "One is not stored" : `${integer(missing.length)} are not stored`}>
          Actions that refer to it fail at the instances until it is there.
          <Stack component="ul" gap={4} mt="xs" p={0} m={0} className={classes.missing}>
            {missing.map((each) => (
              <Group component="li" key={each.name} gap="sm">
                <Text span size="sm" fw={600}>{each.name}</Text>
                <Text span size="sm" lineClamp={2}>used by {each.used_by.join(", ")}</Text>
                {mayWrite ? <Button size="compact-sm" variant="default" onClick={() => { setStoring({ name: each.name, stored: false }); }} aria-label={`Store ${each.name}`}>Store…</Button> : null}
              </Group>
            ))}
          </Stack>
        </Alert>
      ) : null}
      {secrets.isPending ? <Skeleton h={160} radius="md" aria-label="Loading" /> : null}
      {rows?.length === 0 ? (
        <EmptyState title="No secret yet" action={add}>
          {mayWrite ? "Store a password or token here instead of writing it into an action." : "An operator can store passwords and tokens for actions."}
        </EmptyState>
      ) : null}
      {rows && rows.length > 0 ? <DataTable label="Secrets" columns={columns} rows={rows} rowKey={(each) => each.name} rowHeight={48} /> : null}
      {storing === null ? null : <SecretDialog productId={productId} {...storing} taken={rows?.map((each) => each.name) ?? []} onClose={() => { setStoring(null); }} />}
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

import { Box, Button, Group, SegmentedControl, Stack, Table, Text } from "@mantine/core";
import { useState } from "react";

import { Dialog } from "~/components/Dialog";
import { integer } from "~/lib/format";

import classes from "./ConflictDialog.module.css";
import type { Conflict } from "./conflicts";

interface Props {
  found: readonly Conflict[];
  labels: Readonly<Record<string, string>>;
  /** The one that was saved meanwhile. */
  revision: number;
  /** Go on with mine, but these fields from theirs. */
  onChosen: (taken: ReadonlySet<string>) => void;
  onDropped: () => void;
  onCancel: () => void;
}

/** Somebody else saved meanwhile: both versions, and which of them goes on, field by field. */
export function ConflictDialog({ found, labels, revision, onChosen, onDropped, onCancel }: Props) {
  const [taken, setTaken] = useState(() => new Set<string>(found.filter((each) => each.untouched).map((each) => each.field)));
  const choose = (field: string, theirsIsIt: boolean): void => {
    const next = new Set(taken);
    if (theirsIsIt) next.add(field);
    else next.delete(field);
    setTaken(next);
  };
  return (
    <Dialog onClose={onCancel} size="xl" title="Somebody else has saved meanwhile">
      <Stack>
        <Text>
          Revision {integer(revision)} was saved while you were editing, so yours is not. {found.length === 0 ? "It says the same as yours." : "Choose what goes on; nothing is saved yet."}
        </Text>
        {found.length > 0 ? (
          <Table layout="fixed" className={classes.versions}>
            <Table.Thead>
              <Table.Tr><Table.Th>Setting</Table.Th><Table.Th>Yours</Table.Th><Table.Th>Saved</Table.Th><Table.Th>Take</Table.Th></Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {found.map(({ field, mine: my, theirs: their }) => (
                <Table.Tr key={field}>
                  <Table.Th scope="row">{labels[field] ?? field}</Table.Th>
                  <Table.Td data-label="Yours"><Version text={my} /></Table.Td>
                  <Table.Td data-label="Saved"><Version text={their} /></Table.Td>
                  <Table.Td>
                    <SegmentedControl
                      size="xs"
                      aria-label={`Version of ${labels[field] ?? field}`}
                      data={[{ value: "mine", label: "Yours" }, { value: "theirs", label: "Saved" }]}
                      value={taken.has(field) ? "theirs" : "mine"}
                      onChange={(value) => { choose(field, value === "theirs"); }}
                    />
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        ) : null}
        <Group justify="flex-end">
          <Button variant="default" onClick={() => { onDropped(); }}>Drop mine</Button>
          <Button onClick={() => { onChosen(taken); }} data-autofocus>Go on with this choice</Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

function Version({ text }: { text: string }) {
  if (!text.includes("\n")) return text;
  return <Box component="pre" m={0} mah="16rem" fz="xs" tabIndex={0} className={classes.long}>{text}</Box>;
}

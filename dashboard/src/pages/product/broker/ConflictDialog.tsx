import { Button, Group, Modal, SegmentedControl, Stack, Table, Text } from "@mantine/core";
import { useState } from "react";

import { integer } from "~/lib/format";

import { conflicts, LABELS, merged, type BrokerForm } from "./form";

interface Props {
  base: BrokerForm;
  mine: BrokerForm;
  theirs: BrokerForm;
  revision: number;
  onChosen: (form: BrokerForm) => void;
  onCancel: () => void;
}

/** Somebody else saved meanwhile: both versions, and which of them goes on, field by field. */
export function ConflictDialog({ base, mine, theirs, revision, onChosen, onCancel }: Props) {
  const found = conflicts(base, mine, theirs);
  const [taken, setTaken] = useState(() => new Set<string>(found.filter((each) => each.untouched).map((each) => each.field)));
  const choose = (field: string, theirsIsIt: boolean): void => {
    const next = new Set(taken);
    if (theirsIsIt) next.add(field);
    else next.delete(field);
    setTaken(next);
  };
  return (
    <Modal opened onClose={onCancel} size="xl" title="Somebody else has saved meanwhile">
      <Stack>
        <Text>
          Revision {integer(revision)} was saved while you were editing, so yours is not. {found.length === 0 ? "It says the same as yours." : "Choose what goes on; nothing is saved yet."}
        </Text>
        {found.length > 0 ? (
          <Table.ScrollContainer minWidth={460}>
            <Table layout="fixed">
              <Table.Thead>
                <Table.Tr><Table.Th>Setting</Table.Th><Table.Th>Yours</Table.Th><Table.Th>Saved</Table.Th><Table.Th>Take</Table.Th></Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {found.map(({ field, mine: my, theirs: their }) => (
                  <Table.Tr key={field}>
                    <Table.Th scope="row">{LABELS[field]}</Table.Th>
                    <Table.Td>{my}</Table.Td>
                    <Table.Td>{their}</Table.Td>
                    <Table.Td>
                      <SegmentedControl
                        size="xs"
                        aria-label={`Version of ${LABELS[field]}`}
                        data={[{ value: "mine", label: "Yours" }, { value: "theirs", label: "Saved" }]}
                        value={taken.has(field) ? "theirs" : "mine"}
                        onChange={(value) => { choose(field, value === "theirs"); }}
                      />
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
        ) : null}
        <Group justify="flex-end">
          <Button variant="default" onClick={() => { onChosen(theirs); }}>Drop mine</Button>
          <Button onClick={() => { onChosen(merged(mine, theirs, taken)); }} data-autofocus>Go on with this choice</Button>
        </Group>
      </Stack>
    </Modal>
  );
}

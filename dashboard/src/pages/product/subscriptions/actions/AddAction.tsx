import { Button, Menu, Text, TextInput } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useState } from "react";

import type { ActionType } from "~/api/types";

interface Props {
  types: readonly ActionType[];
  others: readonly string[];
  onAdd: (type: string) => void;
}

/** A built-in type, or one that the product's own code registers, by its name. */
export function AddAction({ types, others, onAdd }: Props) {
  const [naming, setNaming] = useState(false);
  const [name, setName] = useState("");
  if (naming) {
    return (
      <TextInput
        label="Type"
        description="As the product's own code registers it"
        autoFocus
        maxLength={200}
        value={name}
        maw="28rem"
        onChange={(event) => { setName(event.currentTarget.value); }}
        onKeyDown={(event) => {
          if (event.key === "Escape") setNaming(false);
          if (event.key !== "Enter") return;
          // It stands in the form of the subscription, which Enter would send.
          event.preventDefault();
          add();
        }}
        inputContainer={(input) => (
          <div style={{ display: "flex", gap: "0.5rem" }}>
            <div style={{ flex: 1 }}>{input}</div>
            <Button variant="default" disabled={name.trim() === ""} onClick={add}>Add</Button>
            <Button variant="subtle" onClick={() => { setNaming(false); }}>Cancel</Button>
          </div>
        )}
      />
    );
  }
  return (
    <Menu position="bottom-start" width="min(24rem, 90vw)">
      <Menu.Target>
        <Button variant="default" leftSection={<IconPlus size={16} aria-hidden />} style={{ alignSelf: "flex-start" }}>Add action</Button>
      </Menu.Target>
      <Menu.Dropdown>
        {types.map((each) => (
          <Menu.Item key={each.type} onClick={() => { onAdd(each.type); }}>
            <Text size="sm" fw={600}>{each.type}</Text>
            <Text size="xs" c="dimmed">{each.description}</Text>
          </Menu.Item>
        ))}
        {others.length > 0 ? <Menu.Label>Registered by live instances</Menu.Label> : null}
        {others.map((each) => <Menu.Item key={each} onClick={() => { onAdd(each); }}>{each}</Menu.Item>)}
        <Menu.Divider />
        <Menu.Item onClick={() => { setNaming(true); }}>
          <Text size="sm" fw={600}>Another type…</Text>
          <Text size="xs" c="dimmed">One that the product's own code registers, by its name</Text>
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );

  function add(): void {
    if (name.trim() === "") return;
    onAdd(name.trim());
    setName("");
    setNaming(false);
  }
}

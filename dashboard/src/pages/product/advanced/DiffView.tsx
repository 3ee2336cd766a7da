import { Button, Stack, Text } from "@mantine/core";
import { IconMinus, IconPencil, IconPlus } from "@tabler/icons-react";
import { useState } from "react";

import { ToneBadge } from "~/components/StateBadge";
import { integer } from "~/lib/format";

import type { FieldChange, PartChange } from "./changes";
import classes from "./DiffView.module.css";

const KINDS = {
  added: { words: "added", tone: "good", icon: IconPlus },
  removed: { words: "removed", tone: "bad", icon: IconMinus },
  changed: { words: "changed", tone: "idle", icon: IconPencil },
} as const;
/** More take a browser seconds to lay out. */
const MOST = 100;

interface Props {
  parts: readonly PartChange[];
  /** What the two sides are called. */
  before: string;
  after: string;
}

/** Two configurations side by side, field by field: only what differs. */
export function DiffView({ parts, before, after }: Props) {
  const [all, setAll] = useState(false);
  const shown = all ? parts : parts.slice(0, MOST);
  return (
    <Stack gap="md">
      {shown.map((part, index) => {
        const look = KINDS[part.kind];
        return (
          <section key={index} className="surface" aria-label={part.name}>
            <div className={classes.head}>
              <Text fw={650}>{part.name}</Text>
              <ToneBadge tone={look.tone} icon={look.icon}>{look.words}</ToneBadge>
            </div>
            <table className={classes.table}>
              <thead>
                <tr>
                  <th scope="col">Setting</th>
                  {part.kind === "added" ? null : <th scope="col">{before}</th>}
                  {part.kind === "removed" ? null : <th scope="col">{after}</th>}
                </tr>
              </thead>
              <tbody>{part.fields.map((field) => <Row key={field.name} field={field} kind={part.kind} before={before} after={after} />)}</tbody>
            </table>
          </section>
        );
      })}
      {shown.length < parts.length ? (
        <div><Button variant="default" onClick={() => { setAll(true); }}>Show the other {integer(parts.length - shown.length)}</Button></div>
      ) : null}
    </Stack>
  );
}

function Row({ field, kind, before, after }: { field: FieldChange; kind: PartChange["kind"]; before: string; after: string }) {
  return (
    <tr>
      <th scope="row">{field.name}</th>
      {kind === "added" ? null : <td data-side={before}><del className={classes.before}>{field.before}</del></td>}
      {kind === "removed" ? null : <td data-side={after}><ins className={classes.after}>{field.after}</ins></td>}
    </tr>
  );
}

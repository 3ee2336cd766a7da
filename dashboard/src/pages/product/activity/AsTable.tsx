import { Table } from "@mantine/core";
import { useState, type ReactNode } from "react";

import classes from "./AsTable.module.css";

/** The figures of a picture for those who do not see it; the rows are made when they are asked for. */
export function AsTable({ label, columns, rows }: { label: string; columns: readonly string[]; rows: () => ReactNode }) {
  const [open, setOpen] = useState(false);
  return (
    <details className={classes.figures} onToggle={(event) => { setOpen(event.currentTarget.open); }}>
      <summary>Show as a table</summary>
      {open ? (
        <div role="region" aria-label={label} tabIndex={0} className={classes.scroll}>
          <Table stickyHeader>
            <Table.Thead><Table.Tr>{columns.map((each) => <Table.Th key={each} scope="col">{each}</Table.Th>)}</Table.Tr></Table.Thead>
            <Table.Tbody>{rows()}</Table.Tbody>
          </Table>
        </div>
      ) : null}
    </details>
  );
}

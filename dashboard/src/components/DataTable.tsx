/** A table of any number of rows: only what is in view is in the document. */

import { UnstyledButton } from "@mantine/core";
import { IconArrowDown, IconArrowUp, IconArrowsSort } from "@tabler/icons-react";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useLayoutEffect, useRef, useState, type ReactNode } from "react";

import classes from "./DataTable.module.css";

export interface Column<Row, Key extends string = string> {
  name: string;
  /** CSS width of the column: `10rem`, `minmax(12rem, 2fr)`. */
  width: string;
  cell: (row: Row) => ReactNode;
  /** Sortable under this key. */
  sort?: Key;
  end?: boolean;
  /** On a narrow page only such columns are shown, two a line. */
  narrow?: boolean;
  /** There it has a line of its own. */
  line?: boolean;
}

interface Props<Row, Key extends string> {
  label: string;
  columns: readonly Column<Row, Key>[];
  rows: readonly Row[];
  rowKey: (row: Row) => string | number;
  rowHeight: number;
  sort?: Key;
  down?: boolean;
  onSort?: (key: Key) => void;
}

export function DataTable<Row, Key extends string = string>(props: Props<Row, Key>) {
  "use no memo"; // The virtualizer changes inside: a compiler must not keep what it gave.
  const { label, columns, rows, rowKey, rowHeight, sort, down, onSort } = props;
  const body = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => {
    if (body.current) setTop(body.current.getBoundingClientRect().top + window.scrollY);
  }, []);
  const virtual = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => rowHeight,
    overscan: 8,
    scrollMargin: top,
    getItemKey: (index) => {
      const row = rows[index];
      return row === undefined ? index : rowKey(row);
    },
  });
  const template = { gridTemplateColumns: columns.map((each) => each.width).join(" ") };
  return (
    <div role="table" aria-label={label} aria-rowcount={rows.length + 1} className={`surface ${classes.table ?? ""}`}>
      <div role="rowgroup" className={classes.head}>
        <div role="row" aria-rowindex={1} className={classes.row} style={template}>
          {columns.map((each) => (
            <Header key={each.name} column={each} active={each.sort !== undefined && each.sort === sort} down={down ?? false} onSort={onSort} />
          ))}
        </div>
      </div>
      <div role="rowgroup" ref={body} style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {virtual.getVirtualItems().map((item) => {
          const row = rows[item.index];
          if (row === undefined) return null;
          return (
            <div
              key={item.key}
              ref={virtual.measureElement}
              data-index={item.index}
              role="row"
              aria-rowindex={item.index + 2}
              className={`${classes.row ?? ""} ${classes.body ?? ""}`}
              style={{ ...template, minHeight: rowHeight, transform: `translateY(${item.start - top}px)` }}
            >
              {columns.map((each) => (
                <div role="cell" key={each.name} className={cellClass(each)}>{each.cell(row)}</div>
              ))}
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Header<Row, Key extends string>({ column, active, down, onSort }: {
  column: Column<Row, Key>;
  active: boolean;
  down: boolean;
  onSort: ((key: Key) => void) | undefined;
}) {
  const { sort, name } = column;
  if (sort === undefined || !onSort) return <div role="columnheader" className={cellClass(column)}>{name}</div>;
  const Icon = !active ? IconArrowsSort : down ? IconArrowDown : IconArrowUp;
  return (
    <div role="columnheader" aria-sort={!active ? "none" : down ? "descending" : "ascending"} className={cellClass(column)}>
      <UnstyledButton className={classes.sort} onClick={() => { onSort(sort); }}>
        {name}
        <Icon size={14} aria-hidden />
      </UnstyledButton>
    </div>
  );
}

function cellClass({ end, narrow, line }: { end?: boolean; narrow?: boolean; line?: boolean }): string {
  return [classes.cell, end ? classes.end : "", narrow ? "" : classes.wide, line ? classes.line : ""].filter(Boolean).join(" ");
}

/** A table of any number of rows: only what is in view is in the document. */

import { UnstyledButton } from "@mantine/core";
import { IconArrowDown, IconArrowUp, IconArrowsSort } from "@tabler/icons-react";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useLayoutEffect, useRef, useState, type FocusEvent, type ReactNode } from "react";

import { focusAt, placeOf, type Place } from "~/lib/focus";

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
  const keepFocus = useKeptFocus(rows, rowKey);
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
              onFocus={(event) => { keepFocus(event, rowKey(row)); }}
              role="row"
              aria-rowindex={item.index + 2}
              className={`${classes.row ?? ""} ${classes.body ?? ""}`}
              style={{ ...template, minHeight: rowHeight, transform: `translateY(${item.start - top}px)` }}
            >
              <Cells columns={columns} row={row} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

/** Made anew only for another row: scrolling moves them alone. */
const Cells = memo(function Cells<Row, Key extends string>({ columns, row }: { columns: readonly Column<Row, Key>[]; row: Row }) {
  return columns.map((each) => (
    <div role="cell" key={each.name} className={cellClass(each)}>{each.cell(row)}</div>
  ));
}) as <Row, Key extends string>(props: { columns: readonly Column<Row, Key>[]; row: Row }) => ReactNode;

/** Where a row with the focus is deleted, the focus goes to what takes its place, and does not fall out of the page. */
function useKeptFocus<Row>(rows: readonly Row[], rowKey: (row: Row) => string | number) {
  const last = useRef<{ element: Element; place: Place | null; key: string | number } | null>(null);
  const isLost = (): boolean => last.current !== null && !last.current.element.isConnected && document.activeElement === document.body;
  useEffect(() => {
    // One that was only scrolled out of view is still a row.
    if (!isLost() || rows.some((row) => rowKey(row) === last.current?.key)) return;
    focusAt(last.current?.place ?? null);
  }, [rows, rowKey]);
  useEffect(() => () => { if (isLost()) focusAt(null); }, []);
  return (event: FocusEvent, key: string | number): void => {
    last.current = { element: event.target, place: placeOf(event.target), key };
  };
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

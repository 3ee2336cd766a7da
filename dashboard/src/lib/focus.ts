/** Go to the first field that is wrong: after React has shown the faults and a closed dialog has given the focus back. */
export function focusFirstFault(): void {
  setTimeout(() => document.querySelector<HTMLElement>("form :is(input, textarea)[aria-invalid='true'], form [data-faulty]")?.focus(), 50);
}

/** Where in a table a control is, whatever stands there later. */
export interface Place {
  table: Element;
  /** `aria-rowindex`. */
  row: number;
  /** Which control of the row, from its end: a row may begin with more. */
  fromEnd: number;
}

const CONTROLS = "a[href], button, input";

export function placeOf(element: Element | null): Place | null {
  const row = element?.closest("[role=row]");
  const table = row?.closest("[role=table]");
  if (!element || !row || !table) return null;
  const controls = [...row.querySelectorAll(CONTROLS)];
  return { table, row: Number(row.getAttribute("aria-rowindex")), fromEnd: controls.length - controls.indexOf(element) };
}

/** Go to what stands at a place now, or just before it at the end; to the content of the page where there is nothing. */
export function focusAt(place: Place | null): void {
  const control = place && (controlAt(place, place.row) ?? controlAt(place, place.row - 1));
  (control ?? document.getElementById("main"))?.focus({ preventScroll: true });
}

function controlAt({ table, fromEnd }: Place, row: number): HTMLElement | null {
  if (!table.isConnected) return null;
  return [...table.querySelectorAll<HTMLElement>(`[role=row][aria-rowindex="${row}"] :is(${CONTROLS})`)].at(-fromEnd) ?? null;
}

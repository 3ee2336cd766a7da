/** Go to the first field that is wrong: after React has shown the faults and a closed dialog has given the focus back. */
export function focusFirstFault(): void {
  setTimeout(() => document.querySelector<HTMLElement>("form :is(input, textarea)[aria-invalid='true'], form [data-faulty]")?.focus(), 50);
}

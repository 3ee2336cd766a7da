import { useEffect } from "react";

import { focusAt, placeOf } from "~/lib/focus";

/**
 * When the component goes: gives the focus back to what had it before. Where that is gone, to what took its place in
 * the table, or to the content of the page.
 */
export function useFocusBack(): void {
  useEffect(() => {
    const before = document.activeElement;
    const place = placeOf(before);
    return () => {
      // Something else has it already.
      if (document.activeElement !== document.body) return;
      if (before instanceof HTMLElement && before !== document.body && before.isConnected) before.focus({ preventScroll: true });
      else focusAt(place);
    };
  }, []);
}

import { useEffect } from "react";

/** When the component goes: gives the focus back to what had it before, or to the content of the page where that is gone. */
export function useFocusBack(): void {
  useEffect(() => {
    const before = document.activeElement;
    return () => {
      // Something else has it already.
      if (document.activeElement !== document.body) return;
      const isThere = before instanceof HTMLElement && before !== document.body && before.isConnected;
      (isThere ? before : document.getElementById("main"))?.focus({ preventScroll: true });
    };
  }, []);
}

import { useEffect } from "react";

const PAGE = "MQTT control plane";

/** What the browser's tab says, while the component is shown. */
export function useTitle(title: string | undefined): void {
  useEffect(() => {
    document.title = title ? `${title} · ${PAGE}` : PAGE;
    return () => {
      document.title = PAGE;
    };
  }, [title]);
}

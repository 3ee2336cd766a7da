import { useSyncExternalStore } from "react";

import { moment, since, utc } from "~/lib/format";

/** One clock for all that show how long ago something was. */
let now = Date.now();
const subscribers = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(notify: () => void): () => void {
  subscribers.add(notify);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of subscribers) each();
  }, 1000);
  return () => {
    subscribers.delete(notify);
    if (subscribers.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** Milliseconds, renewed each second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

/** "4 min ago", with the exact time in UTC on hover; `never` when there is no time. */
export function TimeAgo({ at, never = "never" }: { at: string | null | undefined; never?: string }) {
  const current = useNow();
  if (!at) return <span>{never}</span>;
  return <time dateTime={at} title={utc(at)}>{since(at, Math.max(current, Date.parse(at)))}</time>;
}

/** Date and time in the viewer's zone, with the exact time in UTC on hover. */
export function Moment({ at }: { at: string }) {
  return <time dateTime={at} title={utc(at)}>{moment(at)}</time>;
}

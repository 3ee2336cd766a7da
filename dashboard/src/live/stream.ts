/** The connection to the service's stream of events: one per page, resumed by the browser itself. */

import { NAMES, parse, type LiveEvent } from "./apply";

/** The service sends a ping every 5 seconds. */
const SILENCE_MS = 12_000;
const AGAIN_MS = 3_000;

export interface StreamHandlers {
  /** The events since the last call, in order; at most once per frame. */
  onEvents: (events: LiveEvent[]) => void;
  /** Null: data is live. Else the time in milliseconds since which it is old. */
  onStale: (since: number | null) => void;
  /** The stream begins, or could not be taken up where it broke: read everything anew. */
  onReset: () => void;
  /** The service answers with something that is no stream: who is signed in? */
  onRefused: () => void;
}

/** Open the stream; call what it returns to close it. */
export function openStream(url: string, handlers: StreamHandlers): () => void {
  let source: EventSource | undefined;
  let lastHeard = Date.now();
  let stale: number | null = null;
  let waiting: LiveEvent[] = [];
  let scheduled = false;
  let again: ReturnType<typeof setTimeout> | undefined;
  let closed = false;
  let lastId = "";

  const deliver = (): void => {
    scheduled = false;
    const events = waiting;
    waiting = [];
    if (!closed && events.length > 0) handlers.onEvents(events);
  };
  const setStale = (since: number | null): void => {
    if (stale === since || (stale !== null && since !== null)) return;
    stale = since;
    handlers.onStale(since);
  };
  const hear = (type: LiveEvent["type"], message: MessageEvent<string>): void => {
    lastHeard = Date.now();
    // What was read before the stream stood may have missed something.
    if (!lastId) handlers.onReset();
    lastId = message.lastEventId;
    const event = parse(type, message.data);
    // NATS away: the service answers, but hears nothing of instances.
    if (event?.type === "ping") setStale(event.data.nats ? null : Date.now());
    else setStale(null);
    if (!event) return;
    if (event.type === "reset") {
      waiting = [];
      handlers.onReset();
      return;
    }
    waiting.push(event);
    if (scheduled) return;
    scheduled = true;
    // A hidden page gets no frames.
    if (document.hidden) setTimeout(deliver, 250);
    else requestAnimationFrame(deliver);
  };
  const connect = (): void => {
    const resumed = lastId ? `${url}?last_event_id=${encodeURIComponent(lastId)}` : url;
    const opened = new EventSource(resumed);
    source = opened;
    for (const name of NAMES) {
      opened.addEventListener(name, (message) => { if (source === opened) hear(name, message as MessageEvent<string>); });
    }
    opened.onerror = () => {
      if (source !== opened) return;
      setStale(lastHeard);
      // The browser tries again by itself, except after an answer that is not a stream.
      if (opened.readyState !== EventSource.CLOSED || closed) return;
      handlers.onRefused();
      again = setTimeout(connect, AGAIN_MS);
    };
  };
  const watch = setInterval(() => {
    if (Date.now() - lastHeard <= SILENCE_MS) return;
    setStale(lastHeard);
    // Half open: nothing comes, and no error either.
    if (source?.readyState === EventSource.OPEN) {
      source.close();
      lastHeard = Date.now() - SILENCE_MS / 2;
      connect();
    }
  }, 1000);

  connect();
  return () => {
    closed = true;
    clearInterval(watch);
    clearTimeout(again);
    source?.close();
  };
}

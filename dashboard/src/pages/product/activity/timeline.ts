/** When which instance was connected, out of what happened to it. Pure; times in milliseconds. */

import type { ActivityEntry, Instance } from "~/api/types";

export type LaneState = "connected" | "disconnected" | "silent" | "stopped" | "unknown";
export type ProductLaneState = "all" | "some" | "none" | "no_instance" | "unknown";

export interface Segment<State> {
  state: State;
  from: number;
  to: number;
}

export interface Lane {
  name: string;
  segments: Segment<LaneState>[];
}

export const LANE_WORDS: Record<LaneState | ProductLaneState, string> = {
  connected: "connected",
  disconnected: "not connected",
  silent: "silent",
  stopped: "not running",
  unknown: "not known",
  all: "all connected",
  some: "some connected",
  none: "none connected",
  no_instance: "none running",
};

interface Life {
  alive: "live" | "stale" | "stopped";
  /** Null: nothing tells. */
  connected: boolean | null;
}

type Event = Pick<ActivityEntry, "at" | "kind">;

/** How it was before the first of its events, as that and how it is now tell. */
function before(events: readonly Event[], today: Instance | undefined): Life {
  const first = events[0]?.kind;
  const link = events.find(({ kind }) => ["started", "connected", "disconnected"].includes(kind))?.kind;
  const alive =
    first === "started" ? "stopped"
    : first === "live" || first === "gone" ? "stale"
    : first !== undefined ? "live"
    : (today?.state ?? "stopped");
  const connected =
    link === "disconnected" ? true
    : link === "connected" ? false
    // An orderly stop ends a connection without a word.
    : link === "started" ? null
    : today?.connected === true ? true
    : today?.state === "live" ? false
    : null;
  return { alive, connected };
}

function after(life: Life, kind: ActivityEntry["kind"]): Life {
  switch (kind) {
    case "started": return { alive: "live", connected: false };
    case "stopped": case "gone": return { ...life, alive: "stopped" };
    case "stale": return { ...life, alive: "stale" };
    case "live": return { ...life, alive: "live" };
    case "connected": return { alive: "live", connected: true };
    case "disconnected": return { alive: "live", connected: false };
    default: return life;
  }
}

function stateOf({ alive, connected }: Life): LaneState {
  if (alive === "stale") return "silent";
  if (alive === "stopped") return "stopped";
  return connected === null ? "unknown" : connected ? "connected" : "disconnected";
}

/** Side by side without gaps; neighbours that are alike become one. */
function joined<State>(parts: readonly Segment<State>[]): Segment<State>[] {
  const found: Segment<State>[] = [];
  for (const part of parts) {
    if (part.to <= part.from) continue;
    const last = found.at(-1);
    if (last?.state === part.state) last.to = part.to;
    else found.push({ ...part });
  }
  return found;
}

/**
 * One lane per instance, by name.
 * @param entries the newest first; those from before tell how it was at the beginning.
 * @param knownFrom between this and the beginning not all was read.
 */
export function lanes(
  entries: readonly ActivityEntry[], instances: readonly Instance[], from: number, to: number, knownFrom: number,
): Lane[] {
  const byName = new Map<string, Event[]>(instances.map((each) => [each.instance_id, []]));
  for (const entry of entries.toReversed()) {
    if (entry.instance_id === null) continue;
    const known = byName.get(entry.instance_id);
    if (known) known.push(entry);
    else byName.set(entry.instance_id, [entry]);
  }
  const today = new Map(instances.map((each) => [each.instance_id, each]));
  return [...byName].sort(([a], [b]) => a.localeCompare(b, undefined, { numeric: true })).map(([name, events]) => {
    const start = Math.min(to, Math.max(from, knownFrom));
    const parts: Segment<LaneState>[] = [{ state: "unknown", from, to: start }];
    let life = before(events, today.get(name));
    let at = start;
    for (const event of events) {
      const next = Math.min(to, Math.max(start, Date.parse(event.at)));
      parts.push({ state: stateOf(life), from: at, to: next });
      life = after(life, event.kind);
      at = next;
    }
    parts.push({ state: stateOf(life), from: at, to });
    return { name, segments: joined(parts) };
  });
}

/** The product as a whole: how many of the running instances were connected. One that is silent is not; one of which nothing is known does not count. */
export function together(all: readonly Lane[], from: number, to: number): Segment<ProductLaneState>[] {
  const edges = [...new Set([from, to, ...all.flatMap((lane) => lane.segments.map((each) => each.from))])].sort((a, b) => a - b);
  const places = all.map(() => 0);
  const parts = edges.slice(0, -1).map((edge, index): Segment<ProductLaneState> => {
    const states = all.map(({ segments }, lane) => {
      let place = places[lane] ?? 0;
      while ((segments[place]?.to ?? Infinity) <= edge) place += 1;
      places[lane] = place;
      return segments[place]?.state ?? "stopped";
    });
    const connected = states.filter((each) => each === "connected").length;
    const lost = states.filter((each) => each === "disconnected" || each === "silent").length;
    const state =
      connected + lost === 0 ? (states.includes("unknown") ? "unknown" : "no_instance")
      : lost === 0 ? "all"
      : connected === 0 ? "none"
      : "some";
    return { state, from: edge, to: edges[index + 1] ?? to };
  });
  return joined(parts);
}

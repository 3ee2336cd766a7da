/** Instances as a table: how far each is, which are shown, in which order. */

import { IconCircleCheckFilled, IconCircleXFilled, IconMoon2, IconPlayerStopFilled, type Icon } from "@tabler/icons-react";

import type { Instance, InstanceProgress, Rollout } from "~/api/types";
import { count, integer } from "~/lib/format";

export type Tone = "good" | "warn" | "bad" | "idle";

/** How an instance is, in words. */
export function stateOf(instance: Pick<Instance, "state" | "connected">): { words: string; tone: Tone; icon: Icon } {
  if (instance.state === "stale") return { words: "Silent", tone: "warn", icon: IconMoon2 };
  if (instance.state === "stopped") return { words: "Stopped", tone: "idle", icon: IconPlayerStopFilled };
  if (instance.connected) return { words: "Connected", tone: "good", icon: IconCircleCheckFilled };
  return { words: "Not connected", tone: "bad", icon: IconCircleXFilled };
}

export type Progress = InstanceProgress["state"];

/** The desired revision, and who was told to have drifted from it. */
export interface Desired {
  revision: number;
  drifted: ReadonlySet<string>;
}

export function desiredOf(rollout: Rollout | undefined): Desired {
  const drifted = (rollout?.instances ?? []).filter((each) => each.state === "drifted");
  return { revision: rollout?.desired_revision ?? 0, drifted: new Set(drifted.map((each) => each.instance_id)) };
}

/** How far a live instance is with the desired revision; null of one that is not live. */
export function progressOf(instance: Instance, { revision, drifted }: Desired): Progress | null {
  if (instance.state !== "live") return null;
  if (revision === 0) return "applied";
  if (instance.rejected?.revision === revision && instance.applied_revision !== revision) return "rejected";
  if ((instance.applied_revision ?? 0) < revision) return "pending";
  return drifted.has(instance.instance_id) ? "drifted" : "applied";
}

/** The same in words, beside the applied revision. */
export function progressWords(instance: Instance, desired: Desired): { text: string; tone: Tone } | null {
  switch (progressOf(instance, desired)) {
    case "rejected":
      return { text: `rejected ${integer(desired.revision)}: ${instance.rejected?.error ?? ""}`, tone: "bad" };
    case "pending":
      return { text: `${integer(desired.revision)} is on its way`, tone: "warn" };
    case "drifted":
      return { text: "drifted: runs something else under this number", tone: "warn" };
    case "applied":
      return desired.revision === 0 ? null : { text: "up to date", tone: "good" };
    case null:
      return null;
  }
}

export const SHOWS = ["connected", "not_connected", "silent", "stopped", "behind"] as const;
export type Show = (typeof SHOWS)[number];
export const SHOW_WORDS: Record<Show, string> = {
  connected: "Connected", not_connected: "Not connected", silent: "Silent", stopped: "Stopped", behind: "Not up to date",
};
export const SORTS = ["name", "state", "revision", "messages", "failures", "heard"] as const;
export type Sort = (typeof SORTS)[number];

/** What is shown; stands in the address. */
export interface InstancesSearch {
  q?: string;
  show?: Show | undefined;
  sort?: Sort;
  down?: boolean;
}

/** From an address, which may hold anything. */
export function instancesSearch(raw: Record<string, unknown>): InstancesSearch {
  const { q, show, sort, down } = raw;
  return {
    ...(typeof q === "string" || typeof q === "number" ? { q: String(q) } : {}),
    ...(SHOWS.some((each) => each === show) ? { show: show as Show } : {}),
    ...(SORTS.some((each) => each === sort) ? { sort: sort as Sort } : {}),
    ...(down === true ? { down } : {}),
  };
}

/** The instances to show, in order. */
export function shownOf(instances: readonly Instance[], search: InstancesSearch, desired: Desired): Instance[] {
  const words = (search.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const found = instances.filter((each) => {
    if (search.show && !shows(search.show, each, desired)) return false;
    const text = `${each.instance_id} ${each.host} ${each.version} ${each.client_id ?? ""}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const by = COMPARE[search.sort ?? "name"];
  found.sort((a, b) => by(a, b) || NAMES.compare(a.instance_id, b.instance_id));
  return search.down ? found.reverse() : found;
}

function shows(show: Show, instance: Instance, desired: Desired): boolean {
  if (show === "behind") return !["applied", null].includes(progressOf(instance, desired));
  return SHOW_WORDS[show] === stateOf(instance).words;
}

const NAMES = new Intl.Collator(undefined, { numeric: true });
const URGENCY: Record<string, number> = { "Not connected": 0, Silent: 1, Stopped: 2, Connected: 3 };

const COMPARE: Record<Sort, (a: Instance, b: Instance) => number> = {
  name: () => 0,
  state: (a, b) => (URGENCY[stateOf(a).words] ?? 0) - (URGENCY[stateOf(b).words] ?? 0),
  revision: (a, b) => (a.applied_revision ?? 0) - (b.applied_revision ?? 0),
  messages: (a, b) => b.messages_received - a.messages_received,
  failures: (a, b) => b.actions_failed - a.actions_failed,
  heard: (a, b) => b.last_heartbeat_at.localeCompare(a.last_heartbeat_at),
};

/** `3 instances: 2 connected, 1 silent`. */
export function summaryOf(instances: readonly Instance[]): string {
  const counts = new Map<string, number>();
  for (const each of instances) {
    const { words } = stateOf(each);
    counts.set(words, (counts.get(words) ?? 0) + 1);
  }
  const parts = Object.keys(URGENCY).reverse().flatMap((words) => {
    const number = counts.get(words);
    return number ? [`${integer(number)} ${words.toLowerCase()}`] : [];
  });
  const all = count(instances.length, "instance");
  return parts.length > 0 ? `${all}: ${parts.join(", ")}` : all;
}

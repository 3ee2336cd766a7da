/** What happened, in words, and how the live stream adds to it. Pure. */

import type { ActivityEntry } from "~/api/types";
import type { LiveEvent } from "~/live/apply";

export type Tone = "good" | "warn" | "bad" | "idle";

const CHANGES: Record<string, string> = {
  put_config: "saved the settings",
  delete_config: "removed the configuration",
  create_subscription: "added a subscription",
  update_subscription: "changed a subscription",
  delete_subscription: "removed a subscription",
  update_product: "changed the variables",
  put_secret: "changed a secret",
  delete_secret: "removed a secret",
  restore: "went back to an earlier revision",
  import: "imported a configuration",
};

const WORDS: Record<ActivityEntry["kind"], { tone: Tone; says: string }> = {
  started: { tone: "idle", says: "started" },
  stopped: { tone: "idle", says: "stopped" },
  stale: { tone: "warn", says: "is silent: no heartbeat for three intervals" },
  live: { tone: "good", says: "is heard again" },
  gone: { tone: "idle", says: "was cleaned up after a long silence" },
  connected: { tone: "good", says: "connected to the broker" },
  disconnected: { tone: "bad", says: "lost the broker" },
  applied: { tone: "good", says: "applied" },
  rejected: { tone: "bad", says: "rejected" },
  config_changed: { tone: "idle", says: "" },
};

export interface Sentence {
  tone: Tone;
  /** An instance, or whoever changed the configuration. */
  who: string;
  says: string;
  /** Why, in the words of the broker or of the instance. */
  reason: string | null;
}

export function sentence(entry: ActivityEntry): Sentence {
  const { tone, says } = WORDS[entry.kind];
  if (entry.kind === "config_changed") {
    const action = entry.detail ?? "";
    return { tone, who: entry.changed_by ?? "Somebody", says: `${CHANGES[action] ?? action}: revision ${entry.revision ?? 0}`, reason: null };
  }
  const what = entry.kind === "applied" || entry.kind === "rejected" ? `${says} revision ${entry.revision ?? 0}` : says;
  return { tone, who: entry.instance_id ?? "", says: what, reason: entry.detail };
}

/** The same happening, whether it was read or heard. */
export function keyOf(entry: ActivityEntry): string {
  return `${Date.parse(entry.at)} ${entry.kind} ${entry.instance_id ?? ""} ${entry.revision ?? ""}`;
}

/** A message of the stream tells at most so many. */
const MOST_TOLD = 100;

/** What an event of the stream adds, the oldest first; null: more than it tells, so read anew. */
export function entriesOf(event: LiveEvent, productId: number): ActivityEntry[] | null {
  if (event.type === "config" && event.data.product_id === productId) {
    const { revision, changed_at, changed_by, action } = event.data;
    return [{ id: `live r${revision}`, at: changed_at, kind: "config_changed", instance_id: null, revision, detail: action, changed_by }];
  }
  if (event.type !== "status" || event.data.product_id !== productId) return [];
  const transitions = event.data.transitions ?? [];
  if (transitions.length >= MOST_TOLD) return null;
  return transitions.map((each) => ({
    id: `live ${each.at} ${each.instance_id} ${each.kind}`,
    at: each.at,
    kind: each.kind,
    instance_id: each.instance_id,
    revision: each.revision,
    detail: each.detail,
    changed_by: null,
  }));
}

/** The newest first; the same array when nothing is new. `added`: the oldest first. */
export function withAdded(known: ActivityEntry[], added: readonly ActivityEntry[]): ActivityEntry[] {
  const seen = new Set(known.map(keyOf));
  const fresh = added.filter((each) => !seen.has(keyOf(each)));
  if (fresh.length === 0) return known;
  // A stable sort: what is of one time stays in order.
  return [...fresh.reverse(), ...known].sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
}

/** The same happening to several instances, one right after the other. */
export interface Group {
  newest: ActivityEntry;
  oldest: ActivityEntry;
  /** In order of their names; empty: a change of the configuration. */
  instances: string[];
}

const TOGETHER_MS = 60_000;

/** A revision that a hundred instances apply is one line. Entries: the newest first. */
export function grouped(entries: readonly ActivityEntry[]): Group[] {
  const found: Group[] = [];
  for (const entry of entries) {
    const last = found.at(-1);
    const name = entry.instance_id;
    if (last && name !== null && isAlike(last, entry, name)) {
      last.instances.push(name);
      last.oldest = entry;
    } else found.push({ newest: entry, oldest: entry, instances: name === null ? [] : [name] });
  }
  for (const { instances } of found) instances.sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  return found;
}

function isAlike({ newest, instances }: Group, entry: ActivityEntry, name: string): boolean {
  return (
    newest.kind === entry.kind && newest.revision === entry.revision && newest.detail === entry.detail
    && !instances.includes(name) && Date.parse(newest.at) - Date.parse(entry.at) <= TOGETHER_MS
  );
}

const FEW = 3;

/** The first few by name, and who else. */
export function named(instances: readonly string[]): { first: string; others: readonly string[] } {
  if (instances.length <= FEW + 1) return { first: listed(instances), others: [] };
  const others = instances.slice(FEW);
  return { first: `${instances.slice(0, FEW).join(", ")} and ${others.length} others`, others };
}

function listed(names: readonly string[]): string {
  const last = names.at(-1) ?? "";
  return names.length < 2 ? last : `${names.slice(0, -1).join(", ")} and ${last}`;
}

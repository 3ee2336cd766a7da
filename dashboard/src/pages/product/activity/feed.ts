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

/** Which subscriptions are shown, and in which order: it stands in the address. */

import type { Subscription } from "~/api/types";

export const SORTS = ["name", "enabled", "messages", "failed", "last_message"] as const;
export type Sort = (typeof SORTS)[number];

export interface SubscriptionSearch {
  q?: string;
  sort?: Sort;
  down?: boolean;
}

/** What an address may say; the rest of it is left out. */
export function subscriptionSearch({ q, sort, down }: Record<string, unknown>): SubscriptionSearch {
  const known = SORTS.find((each) => each === sort);
  return {
    ...(q !== undefined && q !== "" ? { q: typeof q === "string" ? q : JSON.stringify(q) } : {}),
    ...(known ? { sort: known } : {}),
    ...(down === true ? { down } : {}),
  };
}

export function shown(all: readonly Subscription[], { q = "", sort = "name", down = false }: SubscriptionSearch): Subscription[] {
  const wanted = q.trim().toLowerCase();
  const found = all.filter((each) => `${each.name} ${each.topic_filter} ${each.description}`.toLowerCase().includes(wanted));
  return found.sort((one, other) => (down ? -1 : 1) * (BY[sort](one, other) || BY.name(one, other)));
}

/** Figures: the largest and newest first. */
const BY: Record<Sort, (one: Subscription, other: Subscription) => number> = {
  name: (one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0),
  enabled: (one, other) => Number(other.enabled) - Number(one.enabled),
  messages: (one, other) => (other.stats?.messages_received ?? 0) - (one.stats?.messages_received ?? 0),
  failed: (one, other) => (other.stats?.actions_failed ?? 0) - (one.stats?.actions_failed ?? 0),
  last_message: (one, other) => (other.stats?.last_message_at ?? "").localeCompare(one.stats?.last_message_at ?? ""),
};

import type { FleetProduct, ProductState } from "~/api/types";
import { urgency } from "~/live/apply";

export const SORTS = ["urgency", "name", "instances", "rate", "last_message", "failures"] as const;
export type Sort = (typeof SORTS)[number];
export const STATE_NAMES = ["healthy", "degraded", "disconnected", "no_instances", "not_configured"] as const satisfies readonly ProductState[];

/** What of the fleet is shown; stands in the address, so that a view can be handed on. */
export interface FleetSearch {
  q?: string;
  state?: ProductState | undefined;
  sort?: Sort;
  down?: boolean;
}

/** From an address, which may hold anything. */
export function fleetSearch(raw: Record<string, unknown>): FleetSearch {
  const { q, state, sort, down } = raw;
  return {
    ...(typeof q === "string" || typeof q === "number" ? { q: String(q) } : {}),
    ...(STATE_NAMES.some((each) => each === state) ? { state: state as ProductState } : {}),
    ...(SORTS.some((each) => each === sort) ? { sort: sort as Sort } : {}),
    ...(down === true ? { down } : {}),
  };
}

/** The products to show, in order. */
export function shown(products: readonly FleetProduct[], search: FleetSearch): FleetProduct[] {
  const words = (search.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const found = products.filter((each) => {
    if (search.state && each.state !== search.state) return false;
    const text = `${each.name} ${each.description}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const by = COMPARE[search.sort ?? "urgency"];
  found.sort((a, b) => by(a, b) || a.name.localeCompare(b.name));
  return search.down ? found.reverse() : found;
}

type Compare = (a: FleetProduct, b: FleetProduct) => number;

const COMPARE: Record<Sort, Compare> = {
  urgency: (a, b) => urgency(a.state) - urgency(b.state),
  name: () => 0,
  instances: (a, b) => b.instances.live - a.instances.live,
  // Over a minute: rows that change places all the time cannot be read.
  rate: (a, b) => lastMinute(b) - lastMinute(a),
  last_message: (a, b) => (b.last_message_at ?? "").localeCompare(a.last_message_at ?? ""),
  failures: (a, b) => b.actions_failed - a.actions_failed,
};

/** Messages per second over the last whole minute. */
export function lastMinute(product: FleetProduct): number {
  return (product.recent.at(-2) ?? 0) / 60;
}

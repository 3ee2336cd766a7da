/** What an event of the stream changes in what the pages have read. Pure: each takes the old value and gives the new. */

import type {
  ConfigAnswer, ConfigChanged, FleetProduct, Instance, InstanceChanged, Ping, ProductChanged, ProductState, Rollout,
  RolloutCounts, StatusChanged,
} from "~/api/types";

export type LiveEvent =
  | { type: "status"; data: StatusChanged }
  | { type: "rollout"; data: RolloutCounts }
  | { type: "config"; data: ConfigChanged }
  | { type: "product"; data: ProductChanged }
  | { type: "ping"; data: Ping }
  | { type: "reset"; data: object };

export const NAMES = ["status", "rollout", "config", "product", "ping", "reset"] as const satisfies readonly LiveEvent["type"][];

/** The event of a line of the stream; null for what a newer service may send. */
export function parse(type: string, data: string): LiveEvent | null {
  if (!(NAMES as readonly string[]).includes(type)) return null;
  try {
    return { type, data: JSON.parse(data) as unknown } as LiveEvent;
  } catch {
    return null;
  }
}

/** The fleet after some events; the same array when none is about it. One pass, however many events. */
export function fleetAfter(products: FleetProduct[], events: readonly LiveEvent[]): FleetProduct[] {
  const changes = new Map<number, ((product: FleetProduct) => FleetProduct)[]>();
  for (const event of events) {
    if (event.type !== "status" && event.type !== "rollout") continue;
    const change = event.type === "status" ? withStatus(event.data) : withRollout(event.data);
    const known = changes.get(event.data.product_id);
    if (known) known.push(change);
    else changes.set(event.data.product_id, [change]);
  }
  if (changes.size === 0) return products;
  return products.map((each) => (changes.get(each.product_id) ?? []).reduce((product, change) => change(product), each));
}

const withStatus = ({ status }: StatusChanged) => (product: FleetProduct): FleetProduct => ({
  ...product,
  state: product.configured ? (status.state ?? product.state) : product.state,
  connected: status.connected ?? product.connected,
  instances: status.instances ?? product.instances,
  messages_received: status.messages_received ?? product.messages_received,
  actions_executed: status.actions_executed ?? product.actions_executed,
  actions_failed: status.actions_failed ?? product.actions_failed,
  last_message_at: status.last_message_at ?? product.last_message_at,
  connection_error: status.connection_error ?? null,
  updated_at: status.updated_at ?? product.updated_at,
});

const withRollout = (rollout: RolloutCounts) => (product: FleetProduct): FleetProduct => {
  const { desired_revision, published_revision, applied, rejected, pending, drifted } = rollout;
  const instances = { ...product.instances, applied, rejected, pending, drifted };
  return { ...product, desired_revision, published_revision, instances };
};

/** Counts of subscriptions and the status; what was configured stays. */
export function configStatus(answer: ConfigAnswer, event: StatusChanged): ConfigAnswer {
  const changed = event.subscriptions ?? {};
  return {
    ...answer,
    status: event.status,
    subscriptions:
      answer.subscriptions?.map((each) => {
        const stats = changed[String(each.id)];
        return stats ? { ...each, stats } : each;
      }) ?? null,
  };
}

/** The instances with the changed ones in place; null when one is unknown here, so that all must be read anew. */
export function instancesStatus(instances: Instance[], event: StatusChanged): Instance[] | null {
  const heard = event.instances ?? [];
  if (event.instances_changed > heard.length) return null;
  const changed = new Map(heard.map((each) => [each.instance_id, each]));
  const known = new Set(instances.map((each) => each.instance_id));
  if (heard.some((each) => !known.has(each.instance_id))) return null;
  return instances.map((each) => merged(each, changed.get(each.instance_id)));
}

function merged(instance: Instance, changed: InstanceChanged | undefined): Instance {
  if (!changed) return instance;
  return { ...instance, ...changed, last_heartbeat_at: changed.last_heartbeat_at ?? instance.last_heartbeat_at };
}

/** Counts now; who is how far must be asked, and is asked by whoever shows it. */
export function rolloutCounts(rollout: Rollout, counts: RolloutCounts): Rollout {
  return { ...rollout, ...counts };
}

const ORDER: Record<ProductState, number> = { disconnected: 0, degraded: 1, no_instances: 2, not_configured: 3, healthy: 4 };

/** Sorts what needs a person first. */
export function urgency(state: ProductState): number {
  return ORDER[state];
}

/** Keeps everything that was read up to date from the stream of events. */

import { useQueryClient, type QueryClient, type QueryKey } from "@tanstack/react-query";
import { createContext, use, useEffect, useMemo, useRef, useState, type ReactNode } from "react";

import { keys } from "~/api/queries";
import type { ConfigAnswer, FleetProduct, Instance, Rollout } from "~/api/types";

import { rereading } from "./anew";
import { configStatus, fleetAfter, instancesStatus, rolloutCounts, type LiveEvent } from "./apply";
import { Rates } from "./rates";
import { openStream } from "./stream";

type Listener = (event: LiveEvent) => void;

interface Live {
  /** Since when (milliseconds) data is old; null while it is live. */
  staleSince: number | null;
  rates: Rates;
  listen: (listener: Listener) => () => void;
}

const Context = createContext<Live | null>(null);

export function LiveProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [staleSince, setStaleSince] = useState<number | null>(null);
  const [rates] = useState(() => new Rates());
  const [listeners] = useState(() => new Set<Listener>());

  useEffect(
    () => {
      const read = rereading(client);
      return openStream("/api/v1/events", {
        onEvents: (events) => {
          for (const event of events) {
            noteRates(rates, event);
            for (const listener of listeners) listener(event);
          }
          applyAll(client, read, events);
        },
        onStale: setStaleSince,
        onReset: () => { read("everything", { predicate: ({ queryKey }) => queryKey[0] !== keys.session[0] }); },
        onRefused: () => void client.invalidateQueries({ queryKey: keys.session }),
      });
    },
    [client, rates, listeners],
  );

  const value = useMemo<Live>(
    () => ({
      staleSince,
      rates,
      listen: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    }),
    [staleSince, rates, listeners],
  );
  return <Context value={value}>{children}</Context>;
}

export function useLive(): Live {
  const live = use(Context);
  if (!live) throw new Error("useLive outside LiveProvider");
  return live;
}

/** Call `listener` for every event while the component is shown. */
export function useLiveEvents(listener: Listener): void {
  const { listen } = useLive();
  const latest = useRef(listener);
  useEffect(() => {
    latest.current = listener;
  });
  useEffect(() => listen((event) => { latest.current(event); }), [listen]);
}

/** Messages per second of a product, or of one of its subscriptions. */
export const rateKey = (productId: number, subscriptionId?: number): string =>
  subscriptionId === undefined ? `p${productId}` : `p${productId}/s${subscriptionId}`;

function noteRates(rates: Rates, event: LiveEvent): void {
  if (event.type !== "status") return;
  const { product_id, status, subscriptions } = event.data;
  const now = Date.now();
  if (status.messages_received !== null) rates.note(rateKey(product_id), status.messages_received, now);
  for (const [id, totals] of Object.entries(subscriptions ?? {})) {
    rates.note(rateKey(product_id, Number(id)), totals.messages_received, now);
  }
}

function applyAll(client: QueryClient, read: ReturnType<typeof rereading>, events: LiveEvent[]): void {
  const again = (key: QueryKey): void => { read(JSON.stringify(key), { queryKey: key }); };
  // An answer on its way would undo what the event says.
  const settle = (key: QueryKey): void => {
    if (client.isFetching({ queryKey: key, exact: true }) > 0) again(key);
  };
  const fleet = client.getQueryData<FleetProduct[]>(keys.fleet);
  for (const event of events) {
    switch (event.type) {
      case "status": {
        const { product_id } = event.data;
        client.setQueryData<ConfigAnswer>(keys.config(product_id), (old) => old && configStatus(old, event.data));
        settle(keys.config(product_id));
        settle(keys.instances(product_id));
        const instances = client.getQueryData<Instance[]>(keys.instances(product_id));
        const changed = instances && instancesStatus(instances, event.data);
        if (changed) client.setQueryData(keys.instances(product_id), changed);
        else if (instances) again(keys.instances(product_id));
        // What an instance tells once, such as its version and client id, comes with no event.
        if (event.data.transitions?.length) again(keys.instances(product_id));
        break;
      }
      case "rollout": {
        const { product_id } = event.data;
        client.setQueryData<Rollout>(keys.rollout(product_id), (old) => old && rolloutCounts(old, event.data));
        again(keys.rollout(product_id));
        break;
      }
      case "config": {
        const { product_id, revision } = event.data;
        const known = client.getQueryData<ConfigAnswer>(keys.config(product_id));
        if (known?.revision !== revision) again(keys.config(product_id));
        again(keys.revisions(product_id));
        again(keys.secrets(product_id));
        if (fleet?.some((each) => each.product_id === product_id && !each.configured)) again(keys.fleet);
        break;
      }
      case "product":
        again(keys.fleet);
        again(keys.detail(event.data.product_id));
        again(keys.secrets(event.data.product_id));
        break;
      case "ping":
      case "reset":
        break;
    }
  }
  if (fleet) client.setQueryData(keys.fleet, fleetAfter(fleet, events));
  else settle(keys.fleet);
}

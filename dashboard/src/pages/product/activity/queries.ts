/** What the tab reads, and how it follows the live stream. */

import { infiniteQueryOptions, keepPreviousData, queryOptions, useQueryClient, type InfiniteData } from "@tanstack/react-query";
import { useRef } from "react";

import { api, need } from "~/api/client";
import { keys } from "~/api/queries";
import type { ActivityEntry, Instance } from "~/api/types";
import { useLiveEvents } from "~/live/LiveProvider";

import { heard, offset, serviceNow } from "./clock";
import { entriesOf, withAdded } from "./feed";
import { bounds, isOpen, type Range } from "./range";

const FEED_PAGE = 100;
/** A feed to which the stream has added so much begins anew with its first page. */
const FEED_MOST = 1000;
const TIMELINE_PAGE = 1000;
const TIMELINE_PAGES = 3;
/** What happened last before tells how it was at the beginning. */
const TIMELINE_BEFORE = 200;
const TIMELINE_INSTANCES = 200;

const iso = (at: number): string => new Date(at).toISOString();

/** The figures of a stretch of time. */
export const metricsQuery = (id: number, range: Range, subscription: number | undefined) =>
  queryOptions({
    queryKey: [...keys.metrics(id), range, subscription ?? 0, offset()],
    queryFn: async () => {
      const { from, to } = bounds(range, serviceNow());
      // Without a beginning it is the last hour, also by a clock that is not known yet.
      const usual = range.kind === "last" && range.name === "1h";
      const query = {
        ...(usual ? {} : { from: iso(from) }),
        ...(range.kind === "between" ? { to: iso(to) } : {}),
        ...(subscription === undefined ? {} : { subscription_id: subscription }),
      };
      const found = await need(api.GET("/api/v1/products/{product_id}/mqtt-config/metrics", { params: { path: { product_id: id }, query } }));
      heard(found.as_of);
      return found;
    },
    placeholderData: keepPreviousData,
    gcTime: 0,
    staleTime: 0,
  });

interface Page {
  activity: ActivityEntry[];
  next_cursor: string | null;
}

const readActivity = (id: number, query: { limit: number; cursor?: string; from?: string; to?: string }): Promise<Page> =>
  need(api.GET("/api/v1/products/{product_id}/mqtt-config/activity", { params: { path: { product_id: id }, query } }));

/** What happened, the newest first; older pages when they are asked for. A stretch of its own bounds it. */
export const feedQuery = (id: number, range: Range) => {
  const within = range.kind === "between" ? { from: iso(range.from), to: iso(range.to) } : {};
  return infiniteQueryOptions<Page, Error, InfiniteData<Page, string>, readonly unknown[], string>({
    queryKey: [...keys.activity(id), "feed", within],
    queryFn: ({ pageParam }) => readActivity(id, { limit: FEED_PAGE, ...within, ...(pageParam ? { cursor: pageParam } : {}) }),
    initialPageParam: "",
    getNextPageParam: (page: Page) => page.next_cursor,
    gcTime: 0,
    staleTime: 0,
  });
};

export interface History {
  entries: ActivityEntry[];
  instances: Instance[];
  moreInstances: boolean;
  /** Not all that happened was read: it is known from this time on, in milliseconds. */
  knownFrom: number;
}

/** All that happened to instances in a stretch of time, and how they are now. */
export const timelineQuery = (id: number, range: Range) =>
  queryOptions({
    queryKey: [...keys.activity(id), "timeline", range, offset()],
    queryFn: async (): Promise<History> => {
      const { from } = bounds(range, serviceNow());
      const listed = await need(
        api.GET("/api/v1/products/{product_id}/mqtt-config/instances", { params: { path: { product_id: id }, query: { limit: TIMELINE_INSTANCES } } }),
      );
      const entries: ActivityEntry[] = [];
      let cursor: string | null = "";
      for (let page = 0; cursor !== null && page < TIMELINE_PAGES; page += 1) {
        const read: Page = await readActivity(id, { limit: TIMELINE_PAGE, from: iso(from), ...(cursor ? { cursor } : {}) });
        entries.push(...read.activity);
        cursor = read.next_cursor;
      }
      const oldest = entries.at(-1);
      const knownFrom = cursor !== null && oldest ? Date.parse(oldest.at) : from;
      if (cursor === null) entries.push(...(await readActivity(id, { limit: TIMELINE_BEFORE, to: iso(from) })).activity);
      return { entries, instances: listed.instances, moreInstances: listed.next_cursor !== null, knownFrom };
    },
    placeholderData: keepPreviousData,
    gcTime: 0,
    staleTime: 0,
  });

/** Add what the stream tells to feed and timeline; read them anew where it does not tell all. */
export function useActivityFollows(id: number, range: Range): void {
  const client = useQueryClient();
  useLiveEvents((event) => {
    const added = entriesOf(event, id);
    if (added?.length === 0 || !isOpen(range, serviceNow())) return;
    // What is being read may be from before.
    if (added === null || client.isFetching({ queryKey: keys.activity(id) }) > 0) {
      void client.invalidateQueries({ queryKey: keys.activity(id) });
      return;
    }
    client.setQueryData<History>(timelineQuery(id, range).queryKey, (old) => old && { ...old, entries: withAdded(old.entries, added) });
    const feed = feedQuery(id, range).queryKey;
    client.setQueryData<InfiniteData<Page, string>>(feed, (old) => old && grown(old, added));
    if (isLong(client.getQueryData<InfiniteData<Page, string>>(feed))) void client.resetQueries({ queryKey: feed });
  });
}

function grown(old: InfiniteData<Page, string>, added: readonly ActivityEntry[]): InfiniteData<Page, string> {
  const [first, ...rest] = old.pages;
  if (!first) return old;
  const page = { ...first, activity: withAdded(first.activity, added) };
  return { ...old, pages: [page, ...rest] };
}

function isLong(data: InfiniteData<Page, string> | undefined): boolean {
  return (data?.pages[0]?.activity.length ?? 0) > FEED_MOST;
}

const LEAST_MS = 5_000;
const MOST_MS = 60_000;

/** Read the figures anew when the stream tells of the product, and each step while it is silent. */
export function useMetricsFollow(id: number, range: Range, stepSeconds: number): void {
  const client = useQueryClient();
  const read = useRef({ at: 0, due: false });
  useLiveEvents((event) => {
    const now = Date.now();
    if (event.type === "ping") heard(event.data.at);
    if (event.type === "status" && event.data.product_id === id) read.current.due = true;
    if (document.hidden || !isOpen(range, serviceNow())) return;
    const stepMs = stepSeconds * 1000;
    const wait = read.current.due ? Math.min(MOST_MS, Math.max(LEAST_MS, stepMs / 12)) : stepMs;
    if (now - read.current.at < wait) return;
    read.current = { at: now, due: false };
    void client.invalidateQueries({ queryKey: keys.metrics(id) });
  });
}

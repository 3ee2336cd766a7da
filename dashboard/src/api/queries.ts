/** What the pages read: one definition per resource, so that every page and the live stream share the cache. */

import { queryOptions } from "@tanstack/react-query";

import { ApiError } from "./problem";
import { api, need } from "./client";
import type { ApiToken, FleetProduct, Instance, Session } from "./types";

export const keys = {
  session: ["session"] as const,
  fleet: ["fleet"] as const,
  /** Everything of a product: invalidating it reads all of it anew. */
  product: (id: number) => ["product", id] as const,
  detail: (id: number) => ["product", id, "detail"] as const,
  config: (id: number) => ["product", id, "config"] as const,
  instances: (id: number) => ["product", id, "instances"] as const,
  rollout: (id: number) => ["product", id, "rollout"] as const,
  revisions: (id: number) => ["product", id, "revisions"] as const,
  secrets: (id: number) => ["product", id, "secrets"] as const,
  activity: (id: number) => ["product", id, "activity"] as const,
  metrics: (id: number) => ["product", id, "metrics"] as const,
  tokens: ["tokens"] as const,
};

const PAGE = 1000;
const INSTANCES_PAGE = 200;
const TOKENS_PAGE = 200;
/** A product has no more than 100. */
const MOST_SECRETS = 200;

export const sessionQuery = queryOptions({
  queryKey: keys.session,
  queryFn: async (): Promise<Session | null> => {
    try {
      return await need(api.GET("/api/v1/session"));
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      throw error;
    }
  },
  staleTime: Infinity,
});

/** All products with their state. */
export const fleetQuery = queryOptions({
  queryKey: keys.fleet,
  queryFn: async (): Promise<FleetProduct[]> => {
    const found: FleetProduct[] = [];
    let cursor: string | undefined;
    do {
      const page = await need(api.GET("/api/v1/fleet", { params: { query: { limit: PAGE, ...(cursor ? { cursor } : {}) } } }));
      found.push(...page.products);
      cursor = page.next_cursor ?? undefined;
    } while (cursor);
    return found;
  },
});

/** Name, description, variables and keys of a product. */
export const productQuery = (id: number) =>
  queryOptions({
    queryKey: keys.detail(id),
    queryFn: () => need(api.GET("/api/v1/products/{product_id}", { params: { path: { product_id: id } } })),
  });

/** Configuration, subscriptions (with counts) and status of a product. */
export const configQuery = (id: number) =>
  queryOptions({
    queryKey: keys.config(id),
    queryFn: () => need(api.GET("/api/v1/products/{product_id}/mqtt-config", { params: { path: { product_id: id } } })),
  });

/** How far each live instance is with the desired revision. */
export const rolloutQuery = (id: number) =>
  queryOptions({
    queryKey: keys.rollout(id),
    queryFn: () => need(api.GET("/api/v1/products/{product_id}/mqtt-config/rollout", { params: { path: { product_id: id } } })),
  });

/** The named secrets of a product, without their values, and those that actions miss. */
export const secretsQuery = (id: number) =>
  queryOptions({
    queryKey: keys.secrets(id),
    queryFn: () => need(api.GET("/api/v1/products/{product_id}/secrets", { params: { path: { product_id: id }, query: { limit: MOST_SECRETS } } })),
  });

/** All bearer tokens, without the tokens themselves. No event tells of their use: read anew whenever they are shown. */
export const tokensQuery = queryOptions({
  queryKey: keys.tokens,
  staleTime: 0,
  queryFn: async (): Promise<ApiToken[]> => {
    const found: ApiToken[] = [];
    let cursor: string | undefined;
    do {
      const page = await need(api.GET("/api/v1/tokens", { params: { query: { limit: TOKENS_PAGE, ...(cursor ? { cursor } : {}) } } }));
      found.push(...page.tokens);
      cursor = page.next_cursor ?? undefined;
    } while (cursor);
    return found;
  },
});

/** Each instance as last heard of. */
export const instancesQuery = (id: number) =>
  queryOptions({
    queryKey: keys.instances(id),
    queryFn: async (): Promise<Instance[]> => {
      const found: Instance[] = [];
      let cursor: string | undefined;
      do {
        const page = await need(
          api.GET("/api/v1/products/{product_id}/mqtt-config/instances", {
            params: { path: { product_id: id }, query: { limit: INSTANCES_PAGE, ...(cursor ? { cursor } : {}) } },
          }),
        );
        found.push(...page.instances);
        cursor = page.next_cursor ?? undefined;
      } while (cursor);
      return found;
    },
  });

/** The action types that every instance can run. They change with the service alone. */
export const actionTypesQuery = queryOptions({
  queryKey: ["action-types"],
  queryFn: async () => (await need(api.GET("/api/v1/action-types"))).action_types,
});

import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";

import { api, need } from "~/api/client";
import { keys } from "~/api/queries";

const PAGE = 25;

/** The history, the newest first, page by page. */
export const historyQuery = (productId: number) =>
  infiniteQueryOptions({
    queryKey: [...keys.revisions(productId), "list"],
    queryFn: ({ pageParam: cursor }) =>
      need(api.GET("/api/v1/products/{product_id}/mqtt-config/revisions", {
        params: { path: { product_id: productId }, query: { limit: PAGE, ...(cursor ? { cursor } : {}) } },
      })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor,
  });

/** One change of the history; it never changes itself. */
export const revisionQuery = (productId: number, revision: number) =>
  queryOptions({
    queryKey: ["revision", productId, revision],
    queryFn: () =>
      need(api.GET("/api/v1/products/{product_id}/mqtt-config/revisions/{revision}", { params: { path: { product_id: productId, revision } } })),
  });

/** What differs between two revisions. */
export const diffQuery = (productId: number, revision: number, against: number) =>
  queryOptions({
    queryKey: ["diff", productId, revision, against],
    queryFn: () =>
      need(api.GET("/api/v1/products/{product_id}/mqtt-config/revisions/{revision}/diff", {
        params: { path: { product_id: productId, revision }, query: { against } },
      })),
  });

/** What a revision is compared with; stands in the address. Without it: with the one before. */
export interface RevisionSearch {
  against?: number;
}

/** From an address, which may hold anything. */
export function revisionSearch({ against }: Record<string, unknown>): RevisionSearch {
  return typeof against === "number" && Number.isSafeInteger(against) && against >= 1 ? { against } : {};
}

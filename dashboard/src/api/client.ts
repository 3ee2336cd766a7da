/** The REST API, typed by its OpenAPI document. */

import createClient from "openapi-fetch";

import { ApiError, unreachable } from "./problem";
import type { paths } from "./schema";

export const api = createClient<paths>({ baseUrl: "/", credentials: "same-origin" });

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/**
 * The body of an answer.
 * @throws ApiError whenever it is none: refused, failed, or nobody answered.
 */
export async function need<T>(call: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await call.catch((cause: unknown) => {
    throw unreachable(cause);
  });
  if (!response.ok) throw ApiError.of(error, response);
  return data as T;
}

/** The header of a write that is for this revision alone. */
export function ifMatch(revision: number | null | undefined): { "If-Match"?: string } {
  return revision ? { "If-Match": `"${revision}"` } : {};
}

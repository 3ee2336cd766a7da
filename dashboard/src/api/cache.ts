/** The cache of what was read. Fresh until an event of the live stream says otherwise. */

import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";

import { ApiError } from "./problem";
import { keys } from "./queries";

/** A session that has ended shows at the next answer of any kind. */
function signedOut(error: Error): void {
  if (error instanceof ApiError && error.status === 401) client.setQueryData(keys.session, null);
}

export const client = new QueryClient({
  queryCache: new QueryCache({ onError: signedOut }),
  mutationCache: new MutationCache({
    onError: (error, _variables, _context, mutation) => {
      // A wrong token at sign-in ends no session.
      if (mutation.options.mutationKey?.[0] !== "sign-in") signedOut(error);
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: Infinity,
      refetchOnWindowFocus: false,
      retry: (failures, error) => failures < 3 && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
      retryDelay: (attempt) => Math.min(500 * 2 ** attempt, 5000),
    },
    // A change fails at once when nobody answers; it does not wait to be made later, when nobody thinks of it any more.
    mutations: { networkMode: "always" },
  },
});

/** Who has signed in, and what their role allows. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, need } from "~/api/client";
import { sessionQuery } from "~/api/queries";
import type { Role } from "~/api/types";

const RANK: Record<Role, number> = { viewer: 0, operator: 1, administrator: 2 };

/** May someone with `role` do what needs `least`? */
export function allows(role: Role | undefined, least: Role): boolean {
  return role !== undefined && RANK[role] >= RANK[least];
}

/** Does the role of who has signed in allow what needs `least`? The service checks again. */
export function useMay(least: Role): boolean {
  return allows(useQuery(sessionQuery).data?.role, least);
}

/** May who has signed in see and make tokens? */
export function useMayTokens(): boolean {
  const session = useQuery(sessionQuery).data;
  return allows(session?.role, "administrator") && session?.product_ids === null;
}

export function useSignIn() {
  const client = useQueryClient();
  return useMutation({
    mutationKey: ["sign-in"],
    mutationFn: (token: string) => need(api.POST("/api/v1/session", { body: { token } })),
    onSuccess: (session) => client.setQueryData(sessionQuery.queryKey, session),
  });
}

export function useSignOut() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => need(api.DELETE("/api/v1/session")),
    onSuccess: () => {
      client.clear();
      client.setQueryData(sessionQuery.queryKey, null);
    },
  });
}

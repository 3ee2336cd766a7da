/** Changes to subscriptions; each is for the revision that is shown, and refused when another came first. */

import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, ifMatch, need } from "~/api/client";
import { words } from "~/api/problem";
import { keys } from "~/api/queries";
import type { ConfigAnswer, Subscription, SubscriptionAnswer, SubscriptionInput, SubscriptionPatch } from "~/api/types";

const ALL = "/api/v1/products/{product_id}/mqtt-config/subscriptions";
const ONE = "/api/v1/products/{product_id}/mqtt-config/subscriptions/{subscription_id}";

function switched(answer: ConfigAnswer, id: number, enabled: boolean): ConfigAnswer {
  return { ...answer, subscriptions: answer.subscriptions?.map((each) => (each.id === id ? { ...each, enabled } : each)) ?? null };
}

/** Turn a subscription on or off: shown at once, taken back with a message when the service refuses. */
export function useToggle(productId: number) {
  const client = useQueryClient();
  const key = keys.config(productId);
  const show = (id: number, enabled: boolean): void => {
    client.setQueryData<ConfigAnswer>(key, (old) => old && switched(old, id, enabled));
  };
  return useMutation({
    // One after another: each is for the revision that the one before it made.
    scope: { id: `subscriptions-${productId}` },
    mutationFn: ({ subscription, enabled }: { subscription: Subscription; enabled: boolean }) =>
      need(api.PATCH(ONE, {
        params: {
          path: { product_id: productId, subscription_id: subscription.id },
          header: ifMatch(client.getQueryData<ConfigAnswer>(key)?.revision),
        },
        body: { enabled },
      })),
    onMutate: ({ subscription, enabled }) => { show(subscription.id, enabled); },
    onSuccess: ({ revision, id, enabled }) => {
      client.setQueryData<ConfigAnswer>(key, (old) => old && { ...switched(old, id, enabled), revision });
      void client.invalidateQueries({ queryKey: keys.rollout(productId) });
    },
    onError: (error, { subscription, enabled }) => {
      show(subscription.id, !enabled);
      notifications.show({ color: "red", autoClose: false, title: `${subscription.name} stays ${enabled ? "off" : "on"}`, message: words(error) });
      void client.invalidateQueries({ queryKey: key });
    },
  });
}

export function useRemove(productId: number) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, revision }: { id: number; revision: number | null }) =>
      need(api.DELETE(ONE, {
        params: { path: { product_id: productId, subscription_id: id }, header: ifMatch(revision) },
      })),
    onSettled: () => {
      void client.invalidateQueries({ queryKey: keys.config(productId) });
      void client.invalidateQueries({ queryKey: keys.rollout(productId) });
    },
  });
}

/** A new subscription, or changes to one at a revision. */
export type Write = { id: null; body: SubscriptionInput } | { id: number; revision: number | null; body: SubscriptionPatch };

/** `write` a subscription (a dry run only tells the effect); then the pages have what was `shown`. */
export function useWrite(productId: number) {
  const client = useQueryClient();
  const key = keys.config(productId);
  return {
    write: (what: Write, dryRun: boolean): Promise<SubscriptionAnswer> => {
      const query = { dry_run: dryRun };
      if (what.id === null) return need(api.POST(ALL, { params: { path: { product_id: productId }, query }, body: what.body }));
      const path = { product_id: productId, subscription_id: what.id };
      return need(api.PATCH(ONE, { params: { path, query, header: ifMatch(what.revision) }, body: what.body }));
    },
    shown: (written: SubscriptionAnswer): void => {
      client.setQueryData<ConfigAnswer>(key, (old) => old && withWritten(old, written));
      void client.invalidateQueries({ queryKey: key });
      void client.invalidateQueries({ queryKey: keys.rollout(productId) });
    },
  };
}

function withWritten(answer: ConfigAnswer, written: SubscriptionAnswer): ConfigAnswer {
  const others = (answer.subscriptions ?? []).filter((each) => each.id !== written.id);
  return { ...answer, revision: written.revision, subscriptions: [...others, written].sort((one, other) => one.id - other.id) };
}

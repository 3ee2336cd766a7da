/** One subscription at an address of its own: a stored one, or a new one. */

import { Skeleton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";

import { configQuery, productQuery } from "~/api/queries";
import { EmptyState } from "~/components/EmptyState";
import { LinkButton } from "~/components/links";
import { useMay } from "~/session/session";

import { useProductId } from "../ProductLayout";
import { copyOf, formOf } from "./form";
import { NoBroker } from "./NoBroker";
import { SubscriptionEditor } from "./SubscriptionEditor";

const one = getRouteApi("/products/$productId/subscriptions/$subscriptionId");
const fresh = getRouteApi("/products/$productId/subscriptions/new");

export function SubscriptionPage() {
  const productId = useProductId();
  const { subscriptionId } = one.useParams();
  const { saved } = one.useSearch();
  // Another subscription is another form.
  return <Stored key={`${productId}/${subscriptionId}`} productId={productId} subscriptionId={subscriptionId} saved={saved} />;
}

function Stored({ productId, subscriptionId, saved }: { productId: number; subscriptionId: number; saved: number | undefined }) {
  const config = useQuery(configQuery(productId));
  const product = useQuery(productQuery(productId));
  const found = config.data?.subscriptions?.find((each) => each.id === subscriptionId);
  const [known, setKnown] = useState(found);
  // Whoever edits one that somebody else deletes keeps what was entered.
  if (found && !known) setKnown(found);
  if (!config.data || !product.data) return config.isError ? null : <Skeleton h={420} radius="md" aria-label="Loading" />;
  if (!known) return <Missing productId={productId} />;
  return <SubscriptionEditor productId={productId} answer={config.data} variables={product.data.variables ?? {}} subscription={known} start={formOf(known)} saved={saved} />;
}

export function NewSubscriptionPage() {
  const productId = useProductId();
  const { from } = fresh.useSearch();
  const config = useQuery(configQuery(productId));
  const product = useQuery(productQuery(productId));
  const may = useMay("operator");
  if (!config.data || !product.data) return config.isError ? null : <Skeleton h={420} radius="md" aria-label="Loading" />;
  if (!config.data.mqtt_config) return <NoBroker productId={productId} />;
  if (!may) return <EmptyState title="Only operators add subscriptions">Your token is for reading.</EmptyState>;
  const all = config.data.subscriptions ?? [];
  const original = from === undefined ? undefined : all.find((each) => each.id === from);
  if (from !== undefined && !original) return <Missing productId={productId} />;
  const start = original ? copyOf(original, new Set(all.map((each) => each.name))) : formOf(null);
  return (
    <SubscriptionEditor key={`${productId}/${from ?? ""}`} productId={productId} answer={config.data} variables={product.data.variables ?? {}}
      subscription={null} start={start} copied={original !== undefined} saved={undefined} />
  );
}

function Missing({ productId }: { productId: number }) {
  return (
    <EmptyState title="There is no such subscription" action={<LinkButton to="/products/$productId/subscriptions" params={{ productId }}>See all subscriptions</LinkButton>}>
      It may have been deleted meanwhile.
    </EmptyState>
  );
}

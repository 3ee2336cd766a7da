/** A product: a header that tells the truth, and its tabs. */

import { Breadcrumbs, Stack, Tabs, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Outlet, useLocation, useNavigate } from "@tanstack/react-router";

import { ApiError } from "~/api/problem";
import { configQuery, productQuery, rolloutQuery } from "~/api/queries";
import { EmptyState } from "~/components/EmptyState";
import { Failure } from "~/components/Failure";
import { LinkAnchor, LinkButton } from "~/components/links";
import { useTitle } from "~/components/useTitle";

import { ProductHeader } from "./ProductHeader";

const TABS = [
  { value: "broker", label: "Broker", to: "/products/$productId/broker" },
  { value: "subscriptions", label: "Subscriptions", to: "/products/$productId/subscriptions" },
  { value: "activity", label: "Activity", to: "/products/$productId/activity" },
  { value: "advanced", label: "Advanced", to: "/products/$productId/advanced" },
] as const;

const route = getRouteApi("/products/$productId");

/** The product of the page that is shown. */
export function useProductId(): number {
  return route.useParams().productId;
}

export function ProductLayout() {
  const productId = useProductId();
  const product = useQuery(productQuery(productId));
  const config = useQuery(configQuery(productId));
  const rollout = useQuery(rolloutQuery(productId));
  const navigate = useNavigate();
  const pathname = useLocation({ select: (at) => at.pathname });
  const tab = pathname.split("/")[3] ?? "broker";
  const name = product.data?.name;
  useTitle(name);

  if (product.error instanceof ApiError && [403, 404, 422].includes(product.error.status)) {
    return (
      <EmptyState title="There is no such product" action={<LinkButton to="/">See all products</LinkButton>}>
        It may have been deleted, or your token is not for it.
      </EmptyState>
    );
  }
  return (
    <Stack gap="md">
      <Breadcrumbs>
        <LinkAnchor to="/">Products</LinkAnchor>
        <Text span>{name ?? `Product ${productId}`}</Text>
      </Breadcrumbs>
      <ProductHeader product={product.data} config={config.data} rollout={rollout.data} />
      {config.error && !config.data ? <Failure error={config.error} title="The configuration could not be read" retry={() => void config.refetch()} /> : null}
      <Tabs
        value={tab}
        onChange={(value) => {
          const found = TABS.find((each) => each.value === value);
          if (found) void navigate({ to: found.to, params: { productId } });
        }}
        keepMounted={false}
        activateTabWithKeyboard={false}
      >
        <Tabs.List aria-label="Parts of the product">
          {TABS.map((each) => <Tabs.Tab key={each.value} value={each.value}>{each.label}</Tabs.Tab>)}
        </Tabs.List>
        <Tabs.Panel value={tab} pt="md"><Outlet /></Tabs.Panel>
      </Tabs>
    </Stack>
  );
}

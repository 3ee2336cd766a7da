/** Every address of the dashboard. */

import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";

import { FleetPage } from "./pages/fleet/FleetPage";
import { fleetSearch } from "./pages/fleet/search";
import { activitySearch } from "./pages/product/activity/range";
import { revisionSearch } from "./pages/product/advanced/history";
import { instancesSearch } from "./pages/product/advanced/instances";
import { ProductLayout } from "./pages/product/ProductLayout";
import { subscriptionSearch } from "./pages/product/subscriptions/search";
import { NotFound } from "./shell/NotFound";
import { PageError } from "./shell/PageError";
import { Shell } from "./shell/Shell";

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound, errorComponent: PageError });

const fleet = createRoute({ getParentRoute: () => root, path: "/", component: FleetPage, validateSearch: fleetSearch });

const product = createRoute({
  getParentRoute: () => root,
  path: "/products/$productId",
  params: { parse: ({ productId }) => ({ productId: wholeNumber(productId) }), stringify: ({ productId }) => ({ productId: String(productId) }) },
  component: ProductLayout,
});

const productIndex = createRoute({
  getParentRoute: () => product,
  path: "/",
  beforeLoad: ({ params }) => {
    throw redirect({ to: "/products/$productId/broker", params, replace: true });
  },
});

const broker = createRoute({
  getParentRoute: () => product,
  path: "/broker",
  component: lazyRouteComponent(() => import("./pages/product/broker/BrokerTab"), "BrokerTab"),
});

const subscriptions = createRoute({
  getParentRoute: () => product,
  path: "/subscriptions",
  validateSearch: subscriptionSearch,
  component: lazyRouteComponent(() => import("./pages/product/subscriptions/SubscriptionsTab"), "SubscriptionsTab"),
});

const newSubscription = createRoute({
  getParentRoute: () => product,
  path: "/subscriptions/new",
  validateSearch: ({ from }: Record<string, unknown>): { from?: number } => (typeof from === "number" ? { from } : {}),
  component: lazyRouteComponent(() => import("./pages/product/subscriptions/SubscriptionPage"), "NewSubscriptionPage"),
});

const tryMessage = createRoute({
  getParentRoute: () => product,
  path: "/subscriptions/try",
  component: lazyRouteComponent(() => import("./pages/product/subscriptions/TryPage"), "TryPage"),
});

const subscription = createRoute({
  getParentRoute: () => product,
  path: "/subscriptions/$subscriptionId",
  params: {
    parse: ({ subscriptionId }) => ({ subscriptionId: wholeNumber(subscriptionId) }),
    stringify: ({ subscriptionId }) => ({ subscriptionId: String(subscriptionId) }),
  },
  validateSearch: ({ saved }: Record<string, unknown>): { saved?: number | undefined } => (typeof saved === "number" ? { saved } : {}),
  component: lazyRouteComponent(() => import("./pages/product/subscriptions/SubscriptionPage"), "SubscriptionPage"),
});

const activity = createRoute({
  getParentRoute: () => product,
  path: "/activity",
  component: lazyRouteComponent(() => import("./pages/product/activity/ActivityTab"), "ActivityTab"),
  validateSearch: activitySearch,
});

const advanced = createRoute({
  getParentRoute: () => product,
  path: "/advanced",
  component: lazyRouteComponent(() => import("./pages/product/advanced/AdvancedTab"), "AdvancedTab"),
});

const advancedIndex = createRoute({
  getParentRoute: () => advanced,
  path: "/",
  beforeLoad: ({ params }) => {
    throw redirect({ to: "/products/$productId/advanced/instances", params, replace: true });
  },
});

const instances = createRoute({
  getParentRoute: () => advanced,
  path: "/instances",
  validateSearch: instancesSearch,
  component: lazyRouteComponent(() => import("./pages/product/advanced/InstancesSection"), "InstancesSection"),
});

const instance = createRoute({
  getParentRoute: () => instances,
  path: "/$instanceId",
  component: lazyRouteComponent(() => import("./pages/product/advanced/InstanceDrawer"), "InstanceDrawer"),
});

const history = createRoute({
  getParentRoute: () => advanced,
  path: "/history",
  component: lazyRouteComponent(() => import("./pages/product/advanced/HistorySection"), "HistorySection"),
});

const revision = createRoute({
  getParentRoute: () => advanced,
  path: "/history/$revision",
  params: { parse: ({ revision }) => ({ revision: wholeNumber(revision) }), stringify: ({ revision }) => ({ revision: String(revision) }) },
  validateSearch: revisionSearch,
  component: lazyRouteComponent(() => import("./pages/product/advanced/RevisionPage"), "RevisionPage"),
});

const transfer = createRoute({
  getParentRoute: () => advanced,
  path: "/transfer",
  component: lazyRouteComponent(() => import("./pages/product/advanced/TransferSection"), "TransferSection"),
});

const variables = createRoute({
  getParentRoute: () => advanced,
  path: "/variables",
  component: lazyRouteComponent(() => import("./pages/product/advanced/VariablesSection"), "VariablesSection"),
});

const secrets = createRoute({
  getParentRoute: () => advanced,
  path: "/secrets",
  component: lazyRouteComponent(() => import("./pages/product/advanced/SecretsSection"), "SecretsSection"),
});

const key = createRoute({
  getParentRoute: () => advanced,
  path: "/key",
  component: lazyRouteComponent(() => import("./pages/product/advanced/KeySection"), "KeySection"),
});

const danger = createRoute({
  getParentRoute: () => advanced,
  path: "/danger",
  component: lazyRouteComponent(() => import("./pages/product/advanced/DangerSection"), "DangerSection"),
});

const advancedSections = [advancedIndex, instances.addChildren([instance]), history, revision, transfer, variables, secrets, key, danger];

const tokens = createRoute({
  getParentRoute: () => root,
  path: "/tokens",
  component: lazyRouteComponent(() => import("./pages/tokens/TokensPage"), "TokensPage"),
});

function wholeNumber(text: string): number {
  // Not a number: no product has the id 0.
  return /^\d{1,10}$/.test(text) ? Number(text) : 0;
}

export const router = createRouter({
  routeTree: root.addChildren([
    fleet,
    product.addChildren([
      productIndex, broker, subscriptions, newSubscription, tryMessage, subscription, activity, advanced.addChildren(advancedSections),
    ]),
    tokens,
  ]),
  defaultPreload: "intent",
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

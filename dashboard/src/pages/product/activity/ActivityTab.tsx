/** What the product has done, and what happened to it: figures, connections, events. */

import { Button, SimpleGrid, Stack, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";

import { configQuery } from "~/api/queries";
import type { ConfigAnswer, Metrics } from "~/api/types";
import { EmptyState } from "~/components/EmptyState";
import { Failure } from "~/components/Failure";
import { LinkButton } from "~/components/links";

import { useProductId } from "../ProductLayout";
import { ConnectedChart, FailuresChart, LatencyChart, MessagesChart } from "./charts";
import { Feed } from "./Feed";
import { totals } from "./figures";
import { metricsQuery, useActivityFollows, useMetricsFollow } from "./queries";
import { chosen, inWords, ofAll, type ActivitySearch, type Range } from "./range";
import { RangePicker } from "./RangePicker";
import { Timeline } from "./Timeline";

const route = getRouteApi("/products/$productId/activity");
const MINUTE_SECONDS = 60;

export function ActivityTab() {
  const productId = useProductId();
  // Of another product nothing may stay, not for a moment.
  return <Activity key={productId} productId={productId} />;
}

function Activity({ productId }: { productId: number }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const range = chosen(search);
  const config = useQuery(configQuery(productId)).data;
  const metrics = useQuery(metricsQuery(productId, range, search.subscription));
  useMetricsFollow(productId, range, metrics.data?.step_seconds ?? MINUTE_SECONDS);
  useActivityFollows(productId, range);
  const show = (next: ActivitySearch): void => {
    void navigate({ search: next, replace: true, resetScroll: false });
  };
  return (
    <Stack gap="lg">
      <RangePicker range={range} search={search} subscriptions={config?.subscriptions ?? []} onSearch={show} />
      <Stack component="section" gap="sm" aria-labelledby="figures">
        <Title order={2} size="h4" id="figures">Figures</Title>
        {metrics.error && !metrics.data ? <Failure error={metrics.error} title="The figures could not be read" retry={() => void metrics.refetch()} /> : null}
        {metrics.data && isQuiet(metrics.data) ? (
          <Quiet config={config} range={range} search={search} onSearch={show} />
        ) : (
          <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="md" aria-busy={metrics.isPlaceholderData}>
            <MessagesChart metrics={metrics.data} />
            <LatencyChart metrics={metrics.data} />
            <FailuresChart metrics={metrics.data} />
            <ConnectedChart metrics={metrics.data} />
          </SimpleGrid>
        )}
      </Stack>
      <Timeline productId={productId} range={range} />
      <Feed productId={productId} range={range} />
    </Stack>
  );
}

function isQuiet(metrics: Metrics): boolean {
  const { messages, executed, failed, connected } = totals(metrics);
  return messages + executed + failed + connected === 0;
}

/** Nothing to draw: what has to be done so that there is. */
function Quiet({ config, range, search, onSearch }: {
  config: ConfigAnswer | undefined;
  range: Range;
  search: ActivitySearch;
  onSearch: (search: ActivitySearch) => void;
}) {
  const title = `Nothing to draw ${inWords(range)}`;
  if (config && !config.mqtt_config) {
    return (
      <EmptyState title={title} action={<LinkButton from="/products/$productId" to="/products/$productId/broker">Enter the broker</LinkButton>}>
        Instances have no broker to connect to yet.
      </EmptyState>
    );
  }
  if (config?.subscriptions?.every((each) => !each.enabled)) {
    return (
      <EmptyState title={title} action={<LinkButton from="/products/$productId" to="/products/$productId/subscriptions">Go to the subscriptions</LinkButton>}>
        No subscription is on, so no message can come.
      </EmptyState>
    );
  }
  if (config && !config.status?.instances?.live) {
    return <EmptyState title={title}>No instance is live. Start one with the id and the key of the product.</EmptyState>;
  }
  if (search.subscription !== undefined) {
    return (
      <EmptyState title={title} action={<Button onClick={() => { onSearch(ofAll(search)); }}>Show all subscriptions</Button>}>
        No message came for this subscription.
      </EmptyState>
    );
  }
  return (
    <EmptyState title={title} action={<Button onClick={() => { onSearch({ range: "30d" }); }}>Show 30 days</Button>}>
      No message came, and no instance was connected. Choose another range.
    </EmptyState>
  );
}

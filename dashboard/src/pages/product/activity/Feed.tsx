import { Button, Group, Skeleton, Stack, Text, Title, VisuallyHidden } from "@mantine/core";
import {
  IconAlertTriangleFilled, IconCircleCheckFilled, IconCircleXFilled, IconPencil, IconPlayerPlay, IconPlayerStop, type Icon,
} from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";

import { Failure } from "~/components/Failure";
import { EmptyState } from "~/components/EmptyState";
import { LinkAnchor } from "~/components/links";
import { Moment, TimeAgo } from "~/components/TimeAgo";
import type { ActivityEntry } from "~/api/types";

import { grouped, keyOf, named, sentence, type Group as Alike, type Tone } from "./feed";
import classes from "./Feed.module.css";
import { feedQuery } from "./queries";
import type { Range } from "./range";

/** What happened, the newest first; it grows while one looks. */
export function Feed({ productId, range }: { productId: number; range: Range }) {
  const feed = useInfiniteQuery(feedQuery(productId, range));
  const { data } = feed;
  const entries = data?.pages.flatMap((page) => page.activity) ?? [];
  const newest = entries[0];
  return (
    <Stack component="section" gap="sm" aria-labelledby="feed">
      <Title order={2} size="h4" id="feed">What happened</Title>
      <VisuallyHidden role="status">{newest ? `Newest: ${words(newest)}` : ""}</VisuallyHidden>
      {feed.error && !data ? <Failure error={feed.error} title="What happened could not be read" retry={() => void feed.refetch()} /> : null}
      {!data && !feed.error ? <Skeleton h={240} /> : null}
      {data && entries.length === 0 ? (
        <EmptyState title={range.kind === "between" ? "Nothing happened in this range" : "Nothing has happened yet"}>
          Changes of the configuration stand here, and what becomes of each instance: enter a broker, then start one.
        </EmptyState>
      ) : null}
      {entries.length > 0 ? (
        <ol className={`surface ${classes.feed ?? ""}`} aria-label="Events, the newest first">
          {grouped(entries).map((each) => <Entry key={keyOf(each.oldest)} group={each} productId={productId} />)}
        </ol>
      ) : null}
      {feed.isFetchNextPageError ? <Failure error={feed.error} title="Older events could not be read" retry={() => void feed.fetchNextPage()} /> : null}
      {feed.hasNextPage ? (
        <Group><Button variant="default" loading={feed.isFetchingNextPage} onClick={() => void feed.fetchNextPage()}>Load older</Button></Group>
      ) : entries.length > 0 ? <Text size="sm" c="dimmed">{range.kind === "between" ? "Nothing older in this range." : "Nothing older is kept."}</Text> : null}
    </Stack>
  );
}

const TONE_ICONS: Record<Tone, Icon> = {
  good: IconCircleCheckFilled, warn: IconAlertTriangleFilled, bad: IconCircleXFilled, idle: IconPlayerPlay,
};
const ICONS: Partial<Record<ActivityEntry["kind"], Icon>> = { config_changed: IconPencil, stopped: IconPlayerStop, gone: IconPlayerStop };

function Entry({ group: { newest: entry, instances }, productId }: { group: Alike; productId: number }) {
  const { tone, who, says, reason } = sentence(entry);
  const { first, others } = named(instances);
  const Icon = ICONS[entry.kind] ?? TONE_ICONS[tone];
  return (
    <li className={classes.entry}>
      <Icon size={18} className={tone} aria-hidden />
      <div className={classes.words}>
        <Text size="sm" component="p" m={0}>
          <strong>{instances.length > 1 ? first : who}</strong> {says}
          {entry.kind === "config_changed" ? (
            <> · <LinkAnchor to="/products/$productId/advanced/history/$revision" params={{ productId, revision: entry.revision ?? 0 }} size="sm" underline="always" aria-label={`What changed in revision ${entry.revision ?? 0}`}>what changed</LinkAnchor></>
          ) : null}
        </Text>
        {reason ? <Text size="sm" className={tone} component="p" m={0}>{reason}</Text> : null}
        {others.length > 0 ? (
          <details className={classes.others}>
            <summary>Show the others</summary>
            {others.join(", ")}
          </details>
        ) : null}
      </div>
      <Text size="xs" c="dimmed" component="div" className={classes.time}>
        <Moment at={entry.at} />
        <div><TimeAgo at={entry.at} /></div>
      </Text>
    </li>
  );
}

function words(entry: ActivityEntry): string {
  const { who, says, reason } = sentence(entry);
  return `${who} ${says}${reason ? `: ${reason}` : ""}`;
}

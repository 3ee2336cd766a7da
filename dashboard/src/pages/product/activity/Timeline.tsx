import { Button, Group, Skeleton, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState, type ReactNode } from "react";

import { Failure } from "~/components/Failure";
import { Moment, useNow } from "~/components/TimeAgo";
import { count, moment, utc } from "~/lib/format";

import { AsTable } from "./AsTable";
import { offset } from "./clock";
import { tick } from "./figures";
import { timelineQuery } from "./queries";
import { bounds, inWords, type Range } from "./range";
import { lanes, LANE_WORDS, together, type LaneState, type ProductLaneState, type Segment } from "./timeline";
import classes from "./Timeline.module.css";

type State = LaneState | ProductLaneState;

const FEW = 10;
const TICK_MS = 5_000;
const LEGEND: readonly State[] = ["connected", "some", "disconnected", "silent", "stopped", "unknown"];
/** Drawn alike. */
const LIKE: Partial<Record<State, State>> = { all: "connected", none: "disconnected", no_instance: "stopped" };

/** When which instance was connected. */
export function Timeline({ productId, range }: { productId: number; range: Range }) {
  const history = useQuery(timelineQuery(productId, range));
  const [all, setAll] = useState(false);
  const now = Math.ceil((useNow() + offset()) / TICK_MS) * TICK_MS;
  const { from, to } = bounds(range, now);
  const { data } = history;
  const found = useMemo(() => (data ? lanes(data.entries, data.instances, from, to, data.knownFrom) : []), [data, from, to]);
  const product = useMemo(() => together(found, from, to), [found, from, to]);
  const shown = all ? found : found.slice(0, FEW);
  const states = new Set([...product, ...shown.flatMap((each) => each.segments)].map(({ state }) => LIKE[state] ?? state));
  const partial = data !== undefined && data.knownFrom > from + TICK_MS;
  return (
    <Stack component="section" gap="sm" aria-labelledby="connections">
      <Title order={2} size="h4" id="connections">Connections</Title>
      {history.error && !data ? <Failure error={history.error} title="The connections could not be read" retry={() => void history.refetch()} /> : null}
      {!data && !history.error ? <Skeleton h={120} /> : null}
      {data && found.length === 0 ? <Text c="dimmed" size="sm">No instance was there {inWords(range)}. Start one with the id and the key of the product.</Text> : null}
      {found.length > 0 ? (
        <div className={`surface ${classes.lanes ?? ""}`}>
          <ul className={classes.legend}>
            {LEGEND.filter((each) => states.has(each)).map((each) => <li key={each}><span className={`${classes.swatch ?? ""} ${classes[each] ?? ""}`} aria-hidden />{LANE_WORDS[each]}</li>)}
          </ul>
          {data?.moreInstances ? null : <Lane name="All instances" segments={product} from={from} to={to} strong />}
          {shown.map((each) => <Lane key={each.name} name={each.name} segments={each.segments} from={from} to={to} />)}
          <div className={classes.axis} aria-hidden>
            {[from, (from + to) / 2, to].map((at) => <span key={at}>{tick(at, to - from)}</span>)}
          </div>
          <Group gap="md">
            {found.length > FEW ? <Button variant="default" size="compact-sm" onClick={() => { setAll(!all); }}>{all ? "Show fewer" : `Show all ${count(found.length, "instance")}`}</Button> : null}
            {data?.moreInstances ? <Text size="sm" c="dimmed">Of the others only those are here to which something happened.</Text> : null}
            {partial ? <Text size="sm" c="dimmed">Too much happened to show all: known since <Moment at={new Date(data.knownFrom).toISOString()} />.</Text> : null}
          </Group>
          <Changes lanes={shown} />
        </div>
      ) : null}
    </Stack>
  );
}

function Lane({ name, segments, from, to, strong }: { name: string; segments: readonly Segment<State>[]; from: number; to: number; strong?: boolean }) {
  return (
    <div className={classes.lane}>
      <Text size="sm" fw={strong ? 600 : 400} className={classes.name} title={name}>{name}</Text>
      <div className={classes.bar} role="img" aria-label={`${name}: ${inShort(segments, from, to)}`}>
        {segments.map((each) => (
          <span
            key={each.from}
            className={`${classes.part ?? ""} ${classes[each.state] ?? ""}`}
            style={{ left: `${(100 * (each.from - from)) / (to - from)}%`, width: `${(100 * (each.to - each.from)) / (to - from)}%` }}
            title={`${LANE_WORDS[each.state]}\n${moment(iso(each.from))} – ${moment(iso(each.to))}\n${utc(iso(each.from))} – ${utc(iso(each.to))}`}
          />
        ))}
      </div>
    </div>
  );
}

/** "connected now; connected 98 % of the time, 3 changes". */
function inShort(segments: readonly Segment<State>[], from: number, to: number): string {
  const last = segments.at(-1);
  if (!last) return "";
  const up = segments.filter((each) => each.state === "connected" || each.state === "all").reduce((sum, each) => sum + each.to - each.from, 0);
  return `${LANE_WORDS[last.state]} at the end; connected ${Math.floor((100 * up) / (to - from))} % of the time, ${count(segments.length - 1, "change")}`;
}

const MOST_ROWS = 500;

function Changes({ lanes: found }: { lanes: readonly { name: string; segments: readonly Segment<State>[] }[] }) {
  const rows = (): ReactNode =>
    found
      .flatMap(({ name, segments }) => segments.map((each) => ({ name, ...each })))
      .sort((a, b) => b.from - a.from)
      .slice(0, MOST_ROWS)
      .map((each) => (
        <Table.Tr key={`${each.name} ${each.from}`}>
          <Table.Td>{each.name}</Table.Td><Table.Td>{LANE_WORDS[each.state]}</Table.Td>
          <Table.Td><Moment at={iso(each.from)} /></Table.Td><Table.Td><Moment at={iso(each.to)} /></Table.Td>
        </Table.Tr>
      ));
  return <AsTable label="Connections: table" columns={["Instance", "State", "From", "To"]} rows={rows} />;
}

function iso(at: number): string {
  return new Date(at).toISOString();
}

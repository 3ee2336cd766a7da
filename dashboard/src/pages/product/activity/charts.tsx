import "@mantine/charts/styles.css";

import { BarChart, LineChart } from "@mantine/charts";
import { Skeleton, Table, Text, Title } from "@mantine/core";
import { useId, type ReactNode } from "react";

import type { Metrics } from "~/api/types";
import { Moment } from "~/components/TimeAgo";
import { compact, duration, integer, moment, rate, utc } from "~/lib/format";

import { AsTable } from "./AsTable";
import classes from "./charts.module.css";
import { connectedInWords, failuresInWords, latency, latencyInWords, messagesInWords, roundTick, type Row, rows, ticks } from "./figures";

const HEIGHT = 200;

/** One line or row of bars: colour, dashes and words, so that none has to do alone. */
interface Line {
  name: keyof Row & string;
  label: string;
  color: string;
  dashes?: string;
}

interface Drawn {
  metrics: Metrics | undefined;
}

export function MessagesChart({ metrics }: Drawn) {
  const found = metrics && rows(metrics);
  return (
    <Card title="Messages and actions per second" metrics={metrics} rows={found} lines={RATES} format={rate} axis={compact} words={metrics && found ? messagesInWords(metrics, found) : ""} />
  );
}

export function LatencyChart({ metrics }: Drawn) {
  const found = metrics && rows(metrics);
  return <Card title="Processing time" metrics={metrics} rows={found} lines={LATENCIES} format={latency} axis={(seconds) => (seconds === 0 ? "0" : duration(seconds))} words={found ? latencyInWords(found) : ""} />;
}

export function FailuresChart({ metrics }: Drawn) {
  const found = metrics && rows(metrics);
  return (
    <Card title="Failed actions" metrics={metrics} rows={found} lines={FAILURES} format={compact} bars words={metrics && found ? failuresInWords(metrics, found) : ""} />
  );
}

export function ConnectedChart({ metrics }: Drawn) {
  const found = metrics && rows(metrics);
  return <Card title="Connected instances" metrics={metrics} rows={found} lines={CONNECTED} format={integer} steps words={found ? connectedInWords(found) : ""} />;
}

const BLUE = "var(--mantine-color-anchor)";
const RATES: readonly Line[] = [
  { name: "received", label: "Messages received", color: BLUE },
  { name: "executed", label: "Actions executed", color: "var(--app-good)", dashes: "7 3" },
  { name: "failing", label: "Actions failed", color: "var(--app-bad)", dashes: "2 3" },
];
const LATENCIES: readonly Line[] = [
  { name: "p50", label: "50 % within", color: BLUE },
  { name: "p95", label: "95 % within", color: "var(--app-warn)", dashes: "7 3" },
  { name: "p99", label: "99 % within", color: "var(--app-bad)", dashes: "2 3" },
];
const FAILURES: readonly Line[] = [{ name: "failures", label: "Failed actions", color: "var(--app-bad)" }];
const CONNECTED: readonly Line[] = [{ name: "connected", label: "Connected instances", color: BLUE }];

interface CardProps {
  title: string;
  words: string;
  metrics: Metrics | undefined;
  rows: Row[] | undefined;
  lines: readonly Line[];
  format: (value: number) => string;
  /** Of the marks of the axis, where it differs. */
  axis?: (value: number) => string;
  bars?: boolean;
  steps?: boolean;
}

/** A chart, what it says in words, and its figures as a table. Its height does not depend on what it shows. */
function Card({ title, words, metrics, rows: found, lines, format, axis = format, bars = false, steps = false }: CardProps) {
  const id = useId();
  return (
    <section className={`surface ${classes.card ?? ""}`} aria-labelledby={id}>
      <Title order={3} size="h5" id={id}>{title}</Title>
      <Text size="sm" c="dimmed" mih="3.1em">{words}</Text>
      {lines.length > 1 ? <Legend lines={lines} /> : null}
      <div aria-hidden className={classes.plot}>
        {metrics && found ? <Plot {...{ metrics, found, lines, format, axis, bars, steps }} /> : <Skeleton h={HEIGHT} />}
      </div>
      {found ? <Figures title={title} rows={found} lines={lines} format={format} /> : null}
    </section>
  );
}

function Legend({ lines }: { lines: readonly Line[] }) {
  return (
    <ul className={classes.legend}>
      {lines.map((each) => (
        <li key={each.name}>
          <svg width={28} height={8} aria-hidden focusable="false">
            <line x1={0} y1={4} x2={28} y2={4} stroke={each.color} strokeWidth={2.5} strokeDasharray={each.dashes} />
          </svg>
          {each.label}
        </li>
      ))}
    </ul>
  );
}

interface PlotProps {
  metrics: Metrics;
  found: Row[];
  lines: readonly Line[];
  format: (value: number) => string;
  axis: (value: number) => string;
  bars: boolean;
  steps: boolean;
}

function Plot({ metrics, found, lines, format, axis, bars, steps }: PlotProps) {
  const lengthMs = Date.parse(metrics.to) - Date.parse(metrics.from);
  const series = lines.map(({ name, label, color, dashes }) => ({ name, label, color, ...(dashes ? { strokeDasharray: dashes } : {}) }));
  const common = {
    h: HEIGHT,
    data: found,
    dataKey: "at",
    series,
    valueFormatter: axis,
    gridAxis: "x" as const,
    tickLine: "none" as const,
    xAxisProps: { ticks: ticks(found, lengthMs), tickFormatter: (at: string) => roundTick(at, lengthMs), minTickGap: 16 },
    yAxisProps: { width: 62, allowDecimals: !steps && !bars, domain: [0, "auto"] as [number, "auto"] },
    tooltipAnimationDuration: 0,
    tooltipProps: {
      content: ({ label }: { label?: unknown }) => <Tip row={found.find((row) => row.at === label)} lines={lines} format={format} />,
    },
  };
  if (bars) {
    return <BarChart {...common} barChartProps={{ accessibilityLayer: false }} barProps={{ isAnimationActive: false }} />;
  }
  return (
    <LineChart
      {...common}
      curveType={steps ? "stepAfter" : "linear"}
      strokeWidth={1.75}
      connectNulls={false}
      lineChartProps={{ accessibilityLayer: false }}
      lineProps={(line) => ({ isAnimationActive: false, dot: (dot: DotPlace) => <LonePoint key={dot.index} dot={dot} rows={found} name={line.name} color={line.color ?? ""} /> })}
    />
  );
}

interface DotPlace {
  cx?: number;
  cy?: number;
  index?: number;
}

/** A value between two gaps, of which no line can be drawn. */
function LonePoint({ dot: { cx, cy, index = 0 }, rows: found, name, color }: { dot: DotPlace; rows: readonly Row[]; name: string; color: string }) {
  const isKnown = (at: number): boolean => (found[at]?.[name] ?? null) !== null;
  if (!isKnown(index) || isKnown(index - 1) || isKnown(index + 1)) return <g />;
  return <circle cx={cx} cy={cy} r={3} fill={color} />;
}

function Tip({ row, lines, format }: { row: Row | undefined; lines: readonly Line[]; format: (value: number) => string }) {
  if (!row) return null;
  return (
    <div className={`surface ${classes.tip ?? ""}`}>
      <strong>{moment(row.at)}</strong>
      <div className={classes.exact}>{utc(row.at)}</div>
      {lines.map((each) => (
        <div key={each.name} className={classes.pair}>
          <span>{each.label}</span>
          <span>{shown(row, each, format)}</span>
        </div>
      ))}
    </div>
  );
}

function shown(row: Row, line: Line, format: (value: number) => string): string {
  const value = row[line.name];
  return typeof value === "number" ? format(value) : "–";
}

function Figures({ title, rows: found, lines, format }: { title: string; rows: readonly Row[]; lines: readonly Line[]; format: (value: number) => string }) {
  const rowOf = (row: Row): ReactNode => (
    <Table.Tr key={row.at}>
      <Table.Th scope="row" fw={400}><Moment at={row.at} /></Table.Th>
      {lines.map((each) => <Table.Td key={each.name}>{shown(row, each, format)}</Table.Td>)}
    </Table.Tr>
  );
  return <AsTable label={`${title}: figures`} columns={["From", ...lines.map((each) => each.label)]} rows={() => found.toReversed().map(rowOf)} />;
}

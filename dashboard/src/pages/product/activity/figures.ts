/** What the charts draw, and the same in words. Pure. */

import type { Metrics } from "~/api/types";
import { count, duration, integer, moment, rate } from "~/lib/format";

/** One step. Rates are per second; what was not measured is null. */
export interface Row {
  [key: string]: string | number | null;
  at: string;
  received: number;
  executed: number;
  failing: number;
  messages: number;
  failures: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
  connected: number | null;
}

/** A step that has just begun tells nothing yet: heartbeats come every few seconds. */
const YOUNG_SECONDS = 15;

/** The steps that can be drawn; the last one may be under way, and its rates are over what has passed of it. */
export function rows({ points, step_seconds, as_of }: Metrics): Row[] {
  const now = Date.parse(as_of);
  return points.flatMap((point) => {
    const passed = Math.min(step_seconds, (now - Date.parse(point.at)) / 1000);
    if (passed < Math.min(YOUNG_SECONDS, step_seconds)) return [];
    return [{
      at: point.at,
      received: point.received / passed,
      executed: point.executed / passed,
      failing: point.failed / passed,
      messages: point.received,
      failures: point.failed,
      p50: point.p50,
      p95: point.p95,
      p99: point.p99,
      connected: point.connected_instances,
    }];
  });
}

export interface Totals {
  messages: number;
  executed: number;
  failed: number;
  /** The most instances that were connected. */
  connected: number;
}

export function totals({ points }: Metrics): Totals {
  const sum = (of: (point: Metrics["points"][number]) => number): number => points.reduce((total, each) => total + of(each), 0);
  return {
    messages: sum((each) => each.received),
    executed: sum((each) => each.executed),
    failed: sum((each) => each.failed),
    connected: Math.max(0, ...points.map((each) => each.connected_instances ?? 0)),
  };
}

/** The row where this is highest; none when it is nowhere known. */
function highest(found: readonly Row[], of: (row: Row) => number | null): Row | undefined {
  return found.reduce<Row | undefined>((best, each) => {
    const value = of(each);
    return value !== null && (best === undefined || value > (of(best) ?? -Infinity)) ? each : best;
  }, undefined);
}

export function messagesInWords(metrics: Metrics, found: readonly Row[]): string {
  const { messages } = totals(metrics);
  const peak = highest(found, (row) => row.received);
  if (messages === 0 || !peak) return "No message.";
  const seconds = (Math.min(Date.parse(metrics.to), Date.parse(metrics.as_of)) - Date.parse(metrics.from)) / 1000;
  return `${count(messages, "message")}, ${rate(messages / seconds)} per second on average; most ${rate(peak.received)} per second, ${moment(peak.at)}.`;
}

/** A processing time; under a millisecond is not told apart. */
export function latency(seconds: number): string {
  return seconds < 0.001 ? "< 1 ms" : duration(seconds);
}

export function latencyInWords(found: readonly Row[]): string {
  const newest = found.findLast((row) => row.p50 !== null);
  const worst = highest(found, (row) => row.p99);
  if (!newest || !worst) return "Nothing was processed.";
  const [p50, p95, p99] = [newest.p50, newest.p95, newest.p99].map((each) => latency(each ?? 0));
  return `Newest: half within ${p50 ?? ""}, 95 % within ${p95 ?? ""}, 99 % within ${p99 ?? ""}. Slowest: 99 % within ${latency(worst.p99 ?? 0)}, ${moment(worst.at)}.`;
}

export function failuresInWords(metrics: Metrics, found: readonly Row[]): string {
  const { executed, failed } = totals(metrics);
  const peak = highest(found, (row) => row.failures);
  if (failed === 0 || !peak) return executed === 0 ? "No action ran." : `None: ${count(executed, "action")} ran well.`;
  const share = (100 * failed) / (executed + failed);
  const percent = share < 0.1 ? "less than 0.1" : share.toFixed(1);
  return `${integer(failed)} of ${count(executed + failed, "action")} failed (${percent} %); most ${moment(peak.at)}.`;
}

export function connectedInWords(found: readonly Row[]): string {
  const known = found.flatMap((row) => (row.connected === null ? [] : [row.connected]));
  const newest = known.at(-1);
  if (newest === undefined) return "Not known of a single subscription.";
  const [least, most] = [Math.min(...known), Math.max(...known)];
  if (most === 0) return "No instance was connected.";
  const now = `Newest: ${integer(newest)}.`;
  return least === most ? `${now} It did not change.` : `${now} Between ${integer(least)} and ${integer(most)}.`;
}

const HOUR_MS = 3_600_000;
const time = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit" });
const dayOfWeek = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** A round time on the axis of a stretch of so many milliseconds. */
export function roundTick(at: string, lengthMs: number): string {
  if (lengthMs <= 25 * HOUR_MS) return time.format(new Date(at));
  return (lengthMs <= 8 * 24 * HOUR_MS ? dayOfWeek : day).format(new Date(at));
}

/** Any time of a stretch of so many milliseconds. */
export function tick(at: number, lengthMs: number): string {
  const date = new Date(at);
  if (lengthMs <= 25 * HOUR_MS) return time.format(date);
  return lengthMs <= 8 * 24 * HOUR_MS ? weekday.format(date) : day.format(date);
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * HOUR_MS;
const APART_MS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * MINUTE_MS);
const MOST_TICKS = 8;

/** The steps that are marked on the time axis: the first of each hour, day, ... of the viewer's clock. */
export function ticks(found: readonly Row[], lengthMs: number): string[] {
  const days = Math.ceil(lengthMs / DAY_MS / MOST_TICKS) * DAY_MS;
  const apart = APART_MS.find((each) => lengthMs / each <= MOST_TICKS) ?? days;
  const period = ({ at }: Row): number => Math.floor((Date.parse(at) - new Date(at).getTimezoneOffset() * MINUTE_MS) / apart);
  return found.filter((row, index) => index > 0 && period(row) !== period(found[index - 1] ?? row)).map((row) => row.at);
}

/** Which stretch of time is shown; it stands in the address, so that a view can be handed on. */

export const RANGES = ["1h", "6h", "24h", "7d", "30d"] as const;
export type RangeName = (typeof RANGES)[number];

const HOUR_MS = 3_600_000;
export const LENGTH_MS: Record<RangeName, number> = {
  "1h": HOUR_MS, "6h": 6 * HOUR_MS, "24h": 24 * HOUR_MS, "7d": 168 * HOUR_MS, "30d": 720 * HOUR_MS,
};
export const RANGE_LABELS: Record<RangeName, string> = { "1h": "1 h", "6h": "6 h", "24h": "24 h", "7d": "7 d", "30d": "30 d" };
const LONG_LABELS: Record<RangeName, string> = {
  "1h": "the last hour", "6h": "the last 6 hours", "24h": "the last 24 hours", "7d": "the last 7 days", "30d": "the last 30 days",
};

/** The search of the address. */
export interface ActivitySearch {
  range?: RangeName;
  /** With `to`: a stretch of its own. RFC 3339. */
  from?: string;
  to?: string;
  subscription?: number;
}

/** Up to now, or between two times in milliseconds. */
export type Range = { kind: "last"; name: RangeName } | { kind: "between"; from: number; to: number };

/** From an address, which may hold anything. */
export function activitySearch(raw: Record<string, unknown>): ActivitySearch {
  const { range, from, to, subscription } = raw;
  const whole = typeof subscription === "number" && Number.isInteger(subscription) && subscription > 0 && subscription < 2 ** 31;
  const between = time(from) < time(to);
  return {
    ...(between ? { from: from as string, to: to as string } : RANGES.some((each) => each === range) ? { range: range as RangeName } : {}),
    ...(whole ? { subscription } : {}),
  };
}

const EARLIEST = Date.UTC(2000, 0, 1);

function time(value: unknown): number {
  const found = typeof value === "string" && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value) ? Date.parse(value) : NaN;
  return found >= EARLIEST ? found : NaN;
}

/** The same of all subscriptions. */
export function ofAll(search: ActivitySearch): ActivitySearch {
  const rest = { ...search };
  delete rest.subscription;
  return rest;
}

export function chosen(search: ActivitySearch): Range {
  if (search.from && search.to) return { kind: "between", from: Date.parse(search.from), to: Date.parse(search.to) };
  return { kind: "last", name: search.range ?? "1h" };
}

/** The stretch in milliseconds; `now` too. */
export function bounds(range: Range, now: number): { from: number; to: number } {
  if (range.kind === "last") return { from: now - LENGTH_MS[range.name], to: now };
  return { from: range.from, to: Math.min(range.to, Math.max(now, range.from)) };
}

/** Does it go on while one looks at it? */
export function isOpen(range: Range, now: number): boolean {
  return range.kind === "last" || range.to > now;
}

/** "in the last hour", for sentences. */
export function inWords(range: Range): string {
  return range.kind === "last" ? `in ${LONG_LABELS[range.name]}` : "in this range";
}

/** A time as an input of the kind datetime-local has it, in the viewer's zone. */
export function localInput(at: number): string {
  const date = new Date(at);
  const two = (number: number): string => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** What is wrong with a stretch that was entered; null when nothing is. */
export function rangeFault(from: string, to: string, now: number): { field: "from" | "to"; words: string } | null {
  const [start, end] = [Date.parse(from), Date.parse(to)];
  if (Number.isNaN(start)) return { field: "from", words: "Enter a date and a time." };
  if (Number.isNaN(end)) return { field: "to", words: "Enter a date and a time." };
  if (start < EARLIEST) return { field: "from", words: "Nothing is known of the time before 2000." };
  if (start >= now) return { field: "from", words: "This lies ahead: nothing has happened yet." };
  if (start >= end) return { field: "to", words: "The end must be after the beginning." };
  return null;
}

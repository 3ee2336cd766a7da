/** Numbers, times and durations as the viewer writes them. */

const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const one = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1, minimumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const ago = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "narrow" });

export function integer(value: number): string {
  return whole.format(value);
}

/** 12 345 678 as 12.3M: where space is short and the exact figure stands elsewhere. */
export function compact(value: number): string {
  return Math.abs(value) < 10_000 ? whole.format(value) : short.format(value);
}

/** Messages per second. */
export function rate(perSecond: number): string {
  if (perSecond === 0) return "0";
  if (perSecond < 0.05) return "< 0.1";
  return perSecond < 100 ? one.format(perSecond) : compact(Math.round(perSecond));
}

/** Date and time in the viewer's zone. */
export function moment(at: string): string {
  return date.format(new Date(at));
}

/** Time of day in the viewer's zone. */
export function timeOfDay(at: string | number): string {
  return clock.format(new Date(at));
}

/** The exact time, as the service tells it. */
export function utc(at: string): string {
  return new Date(at).toISOString().replace("T", " ").replace(/\.000Z$|Z$/, " UTC");
}

/** How long ago; `now` in milliseconds. */
export function since(at: string, now: number): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(at)) / 1000));
  if (seconds < 2) return "just now";
  if (seconds < 60) return ago.format(-seconds, "second");
  if (seconds < 3600) return ago.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86_400) return ago.format(-Math.floor(seconds / 3600), "hour");
  return ago.format(-Math.floor(seconds / 86_400), "day");
}

/** A duration in seconds: `850 µs`, `12 ms`, `3.2 s`, `4 min`, `2 h`. */
export function duration(seconds: number): string {
  if (seconds < 0.001) return `${whole.format(Math.round(seconds * 1e6))} µs`;
  if (seconds < 1) return `${whole.format(Math.round(seconds * 1000))} ms`;
  if (seconds < 120) return `${one.format(seconds)} s`;
  if (seconds < 7200) return `${whole.format(Math.round(seconds / 60))} min`;
  return `${whole.format(Math.round(seconds / 3600))} h`;
}

/** `1 instance`, `2 instances`. */
export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${whole.format(number)} ${number === 1 ? noun : plural}`;
}

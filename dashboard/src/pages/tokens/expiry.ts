/** When a token ends. */

export const LIFETIMES = [
  { value: "30", label: "in 30 days" },
  { value: "7", label: "in 7 days" },
  { value: "90", label: "in 90 days" },
  { value: "365", label: "in a year" },
  { value: "at", label: "at a time I choose" },
  { value: "never", label: "never" },
] as const;

export type Lifetime = (typeof LIFETIMES)[number]["value"];

const DAY_MS = 86_400_000;

/**
 * The time for the API, null for never.
 * `at`: local time as `<input type="datetime-local">` gives it. `now`: milliseconds.
 * @throws RangeError when `at` is no time
 */
export function expiryOf(lifetime: Lifetime, at: string, now: number): string | null {
  if (lifetime === "never") return null;
  if (lifetime === "at") return new Date(at).toISOString();
  return new Date(now + Number(lifetime) * DAY_MS).toISOString();
}

/** The service's clock, for a viewer whose own is wrong: a range "up to now" is up to the service's now. */

/** Answers are under way for a moment, and clocks are never quite alike. */
const NEAR_MS = 5_000;

let ahead = 0;

/** The service has just told its time. */
export function heard(at: string): void {
  const found = Date.parse(at) - Date.now();
  // It stays what it is while it is about right: what was read by it need not be read anew.
  if (Math.abs(found - ahead) > NEAR_MS) ahead = Math.abs(found) > NEAR_MS ? found : 0;
}

/** By how much the service's clock is ahead of this one, in milliseconds. */
export function offset(): number {
  return ahead;
}

/** The time in milliseconds by the service's clock. */
export function serviceNow(): number {
  return Date.now() + ahead;
}

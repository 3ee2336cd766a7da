/** Messages per second from counters that only rise. */

/** How long a window a rate is taken over. */
export const WINDOW_MS = 15_000;
const IDLE_MS = 20_000;

interface Sample {
  at: number;
  count: number;
}

/** Counters as they were heard, by any key. */
export class Rates {
  readonly #samples = new Map<string, Sample[]>();

  /** A counter stood at `count` at `at` milliseconds. */
  note(key: string, count: number, at: number): void {
    const known = this.#samples.get(key) ?? [];
    const last = known.at(-1);
    if (last && count < last.count) known.length = 0;
    if (last?.at === at) known.pop();
    known.push({ at, count });
    // One sample from before the window stays, so that a window is always covered.
    while (known.length > 2 && (known[1]?.at ?? at) <= at - WINDOW_MS) known.shift();
    this.#samples.set(key, known);
  }

  /** Per second over the last window; null when nothing is known yet. */
  of(key: string, now: number): number | null {
    const known = this.#samples.get(key);
    const last = known?.at(-1);
    if (!known || !last) return null;
    if (now - last.at > IDLE_MS) return 0;
    const first = known.find((each) => each.at >= now - WINDOW_MS && each !== last) ?? known.at(-2);
    if (!first) return null;
    return ((last.count - first.count) * 1000) / Math.max(1, last.at - first.at);
  }

  clear(): void {
    this.#samples.clear();
  }
}

/** Messages per second from counters that only rise. */

/** How long a window a rate is taken over. */
export const WINDOW_MS = 15_000;
/** Reports that are closer than this tell no rate: two instances that report at once are not a burst. */
const LEAST_MS = 4000;
/** Nothing heard for that long means that nothing comes. */
export const IDLE_MS = 20_000;

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

  /** Per second over the last window; null as long as too little is known. */
  of(key: string, now: number): number | null {
    const known = this.#samples.get(key);
    const last = known?.at(-1);
    if (!known || !last) return null;
    if (now - last.at > IDLE_MS) return 0;
    const begin = known.findIndex((each) => each.at >= last.at - WINDOW_MS);
    const first = known[begin];
    if (first && last.at - first.at >= LEAST_MS) return perSecond(first, last, last.at - first.at);
    // Nothing is reported while nothing is counted: the count of before the silence still stood when the window began.
    const before = known[begin - 1];
    return before ? perSecond(before, last, Math.min(WINDOW_MS, last.at - before.at)) : null;
  }

  clear(): void {
    this.#samples.clear();
  }
}

function perSecond(first: Sample, last: Sample, spanMs: number): number {
  return ((last.count - first.count) * 1000) / spanMs;
}

import { describe, expect, it } from "vitest";

import { Rates, WINDOW_MS } from "./rates";

describe("Rates", () => {
  it("knows nothing from one report", () => {
    const rates = new Rates();
    rates.note("a", 100, 0);
    expect(rates.of("a", 0)).toBeNull();
    expect(rates.of("b", 0)).toBeNull();
  });

  it("counts over the window, and forgets what is older", () => {
    const rates = new Rates();
    for (let second = 0; second <= 60; second += 5) rates.note("a", second < 40 ? second * 100 : 4000 + (second - 40) * 10, second * 1000);
    expect(rates.of("a", 60_000)).toBeCloseTo(10);
  });

  it("falls to zero when nothing is heard, and starts anew when a counter falls", () => {
    const rates = new Rates();
    rates.note("a", 0, 0);
    rates.note("a", 50, 5000);
    expect(rates.of("a", 5000)).toBe(10);
    expect(rates.of("a", 5000 + 2 * WINDOW_MS)).toBe(0);
    rates.note("a", 3, 40_000);
    expect(rates.of("a", 40_000)).toBeNull();
  });

  it("tells nothing from two reports close together", () => {
    const rates = new Rates();
    rates.note("a", 1000, 0);
    rates.note("a", 1500, 100);
    expect(rates.of("a", 100)).toBeNull();
    rates.note("a", 2000, 5000);
    expect(rates.of("a", 5000)).toBe(200);
  });

  it("takes a count from before a silence as that of the window's begin", () => {
    const rates = new Rates();
    rates.note("a", 100, 0);
    rates.note("a", 250, 60_000);
    expect(rates.of("a", 60_000)).toBe(10);
    rates.note("a", 400, 60_100);
    expect(rates.of("a", 60_100)).toBe(20);
  });
});

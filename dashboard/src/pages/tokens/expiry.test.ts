import { expect, it } from "vitest";

import { expiryOf } from "./expiry";

const NOW = Date.parse("2026-01-31T08:00:00Z");

it.each([
  ["never", "", null],
  ["7", "", "2026-02-07T08:00:00.000Z"],
  ["365", "", "2027-01-31T08:00:00.000Z"],
  ["at", "2026-03-01T10:30", new Date(2026, 2, 1, 10, 30).toISOString()],
] as const)("%s %s", (lifetime, at, expected) => {
  expect(expiryOf(lifetime, at, NOW)).toBe(expected);
});

it("knows no time in nothing", () => {
  expect(() => expiryOf("at", "", NOW)).toThrow(RangeError);
});

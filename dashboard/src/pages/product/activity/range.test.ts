import { describe, expect, it } from "vitest";

import { activitySearch, bounds, chosen, inWords, isOpen, localInput, ofAll, rangeFault } from "./range";

const FROM = "2026-01-31T08:00:00.000Z";
const TO = "2026-01-31T09:00:00.000Z";
const NOW = Date.parse("2026-01-31T12:00:00Z");

describe("activitySearch", () => {
  it.each([
    [{}, {}],
    [{ range: "7d", subscription: 3 }, { range: "7d", subscription: 3 }],
    [{ range: "1y", subscription: "3" }, {}],
    [{ from: FROM, to: TO, range: "7d" }, { from: FROM, to: TO }],
    [{ from: TO, to: FROM, range: "7d" }, { range: "7d" }],
    [{ from: FROM }, {}],
    [{ from: "<script>", to: TO }, {}],
    [{ from: "1970-01-01T00:00:00Z", to: TO }, {}],
    [{ subscription: 0 }, {}],
    [{ subscription: 1.5 }, {}],
    [{ subscription: 2 ** 31 }, {}],
  ])("reads %o", (raw, search) => {
    expect(activitySearch(raw)).toEqual(search);
  });
});

describe("a range", () => {
  it("is the last hour if nothing else is said", () => {
    const range = chosen({});
    expect(bounds(range, NOW)).toEqual({ from: NOW - 3_600_000, to: NOW });
    expect(isOpen(range, NOW)).toBe(true);
    expect(inWords(range)).toBe("in the last hour");
  });
  it("ends now when it reaches ahead", () => {
    const range = chosen({ from: FROM, to: TO });
    expect(bounds(range, Date.parse(FROM) + 5)).toEqual({ from: Date.parse(FROM), to: Date.parse(FROM) + 5 });
    expect(isOpen(range, Date.parse(FROM))).toBe(true);
    expect(isOpen(range, NOW)).toBe(false);
    expect(bounds(range, NOW).to).toBe(Date.parse(TO));
  });
  it("can be shown of all subscriptions", () => {
    expect(ofAll({ range: "6h", subscription: 4 })).toEqual({ range: "6h" });
  });
});

describe("an entered range", () => {
  it.each([
    ["", TO, "from"],
    [FROM, "", "to"],
    [TO, FROM, "to"],
    ["2027-01-01T00:00", "2027-01-02T00:00", "from"],
    ["1999-01-01T00:00", TO, "from"],
  ])("%s to %s is wrong in %s", (from, to, field) => {
    expect(rangeFault(from, to, NOW)?.field).toBe(field);
  });
  it("is good, and goes through the input and back", () => {
    expect(rangeFault(FROM, TO, NOW)).toBeNull();
    expect(Date.parse(localInput(NOW))).toBe(NOW);
  });
});

import { describe, expect, it } from "vitest";

import { importWords, MOST_BYTES, placed, readFile } from "./transfer";

describe("readFile", () => {
  it.each([
    ["{", "not JSON"],
    ["[]", "one JSON object"],
    ["null", "one JSON object"],
    [`"${"x".repeat(MOST_BYTES)}"`, "larger than 1 MB"],
  ])("%#", (text, error) => {
    expect(readFile(text)).toEqual({ error: expect.stringContaining(error) as string });
  });
  it("says what a file is", () => {
    expect(readFile('{"events": [{}, {}]}')).toMatchObject({ about: expect.stringContaining("mqtt_events.json with 2 events") as string });
    expect(readFile('{"format": "mqtt-config/1", "product": "shop", "revision": 4, "broker": {}, "subscriptions": [{}]}'))
      .toMatchObject({ about: expect.stringContaining("An export of shop at revision 4 with 1 subscription") as string });
  });
});

it("finds the places of faults", async () => {
  const text = '{\n  "format": "mqtt-config/1",\n  "subscriptions": [\n    {"name": "a"},\n    {"name": "B", "topic": "x/#/y"}\n  ]\n}';
  const found = await placed(text, [
    { loc: ["body", "subscriptions", 1, "topic"], msg: "bad" },
    { loc: ["body", "subscriptions", 0, "enabled"], msg: "missing" },
    { loc: ["body", "broker"], msg: "required" },
  ]);
  expect(found.map(({ place, line }) => [place, line])).toEqual([["subscriptions › 2 › topic", 5], ["subscriptions › 1 › enabled", 4], ["broker", 1]]);
  expect(text.slice(found[0]?.from, found[0]?.to)).toBe('"x/#/y"');
});

it("sums up what an import changes", () => {
  const part = (name: string, kind: "added" | "removed" | "changed") => ({ name, kind, fields: [] });
  expect(importWords([part("Broker", "changed"), part("Subscription a", "added"), part("Subscription b", "added"), part("Subscription c", "removed")]))
    .toBe("2 subscriptions added, 1 removed; broker changed");
  expect(importWords([])).toBe("Nothing differs from what is configured now");
});

import { describe, expect, it } from "vitest";

import type { ActivityEntry, StatusChanged, Transition } from "~/api/types";
import type { LiveEvent } from "~/live/apply";

import { entriesOf, grouped, keyOf, named, sentence, withAdded } from "./feed";

const entry = (at: string, more: Partial<ActivityEntry> = {}): ActivityEntry => ({
  id: at, at, kind: "connected", instance_id: "one", revision: null, detail: null, changed_by: null, ...more,
});

const status = (transitions: Transition[], product_id = 1): LiveEvent =>
  ({ type: "status", data: { product_id, status: { product_id }, transitions } as unknown as StatusChanged });

describe("sentence", () => {
  it.each([
    [entry("t", { kind: "rejected", revision: 7, detail: "no such host" }), "one", "rejected revision 7", "no such host", "bad"],
    [entry("t", { kind: "disconnected", detail: "refused" }), "one", "lost the broker", "refused", "bad"],
    [entry("t", { kind: "config_changed", instance_id: null, revision: 3, detail: "put_config", changed_by: "ann" }), "ann", "saved the settings: revision 3", null, "idle"],
    [entry("t", { kind: "config_changed", instance_id: null, revision: 3, detail: "new_action", changed_by: "ann" }), "ann", "new_action: revision 3", null, "idle"],
  ])("%o", (each, who, says, reason, tone) => {
    expect(sentence(each)).toEqual({ who, says, reason, tone });
  });
});

describe("entriesOf", () => {
  it("takes what is of the product", () => {
    const transition = { instance_id: "one", kind: "stale", at: "2026-01-31T08:00:00Z", revision: null, detail: null } as const;
    expect(entriesOf(status([transition]), 1)).toMatchObject([{ kind: "stale", instance_id: "one", revision: null, detail: null }]);
    expect(entriesOf(status([transition], 2), 1)).toEqual([]);
    const config: LiveEvent = { type: "config", data: { product_id: 1, revision: 4, changed_at: "2026-01-31T08:00:00Z", changed_by: "ann", action: "restore" } };
    expect(entriesOf(config, 1)).toMatchObject([{ kind: "config_changed", revision: 4, detail: "restore", changed_by: "ann" }]);
    expect(entriesOf(config, 2)).toEqual([]);
    expect(entriesOf({ type: "reset", data: {} }, 1)).toEqual([]);
  });
  it("gives up where a message does not tell all", () => {
    const many = Array.from({ length: 100 }, (_, n) => ({ instance_id: `i${n}`, kind: "live", at: "2026-01-31T08:00:00Z", revision: null, detail: null }) as const);
    expect(entriesOf(status(many), 1)).toBeNull();
  });
});

describe("withAdded", () => {
  const old = [entry("2026-01-31T08:00:02Z"), entry("2026-01-31T08:00:01Z")];
  it("puts the newest first, keeps the order of one time, and takes nothing twice", () => {
    const added = [entry("2026-01-31T08:00:03.5Z", { kind: "started" }), entry("2026-01-31T08:00:03.5Z"), entry("2026-01-31T08:00:02.000Z")];
    const found = withAdded(old, added);
    expect(found.map(({ at, kind }) => [at, kind])).toEqual([
      ["2026-01-31T08:00:03.5Z", "connected"], ["2026-01-31T08:00:03.5Z", "started"],
      ["2026-01-31T08:00:02Z", "connected"], ["2026-01-31T08:00:01Z", "connected"],
    ]);
    expect(withAdded(found, added)).toBe(found);
    expect(new Set(found.map(keyOf)).size).toBe(4);
  });
  it("finds the place of what comes late", () => {
    expect(withAdded(old, [entry("2026-01-31T08:00:01.5Z")]).map((each) => each.at)).toEqual([
      "2026-01-31T08:00:02Z", "2026-01-31T08:00:01.5Z", "2026-01-31T08:00:01Z",
    ]);
  });
});

describe("grouped", () => {
  const applied = (second: number, instance_id: string, more: Partial<ActivityEntry> = {}): ActivityEntry =>
    entry(new Date(Date.UTC(2026, 0, 31, 8) - second * 1000).toISOString(), { kind: "applied", revision: 4, instance_id, ...more });
  const names = (entries: readonly ActivityEntry[]): string[][] => grouped(entries).map((each) => each.instances);
  it("makes one of what happens to several at a time", () => {
    expect(names([applied(0, "i10"), applied(1, "i2"), applied(2, "i1")])).toEqual([["i1", "i2", "i10"]]);
  });
  it.each([
    ["another kind", { kind: "connected" }],
    ["another revision", { revision: 3 }],
    ["another reason", { detail: "why" }],
    ["the same instance again", { instance_id: "i10" }],
  ] as const)("keeps %s apart", (_, more) => {
    expect(names([applied(0, "i10"), applied(1, "i2", more)])).toHaveLength(2);
  });
  it("keeps apart what is a minute apart, and what else was between", () => {
    expect(names([applied(0, "i1"), applied(61, "i2")])).toHaveLength(2);
    expect(names([applied(0, "i1"), applied(1, "i9", { kind: "stale" }), applied(2, "i2")])).toEqual([["i1"], ["i9"], ["i2"]]);
  });
  it("leaves changes of the configuration alone", () => {
    const change = { kind: "config_changed", instance_id: null } as const;
    expect(names([applied(0, "", change), applied(1, "", change)])).toEqual([[], []]);
  });
});

describe("named", () => {
  it.each([
    [["a"], "a", []],
    [["a", "b"], "a and b", []],
    [["a", "b", "c", "d"], "a, b, c and d", []],
    [["a", "b", "c", "d", "e"], "a, b, c and 2 others", ["d", "e"]],
  ])("%o", (names, first, others) => {
    expect(named(names)).toEqual({ first, others });
  });
});

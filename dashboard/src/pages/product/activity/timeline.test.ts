import { describe, expect, it } from "vitest";

import type { ActivityEntry, Instance } from "~/api/types";

import { lanes, together, type Segment } from "./timeline";

const iso = (at: number): string => new Date(at).toISOString();
const T = Date.parse("2026-01-31T08:00:00Z");
const happened = (at: number, kind: ActivityEntry["kind"], instance_id = "one"): ActivityEntry => ({
  id: `${at}`, at: iso(T + at), kind, instance_id, revision: null, detail: null, changed_by: null,
});
const today = (state: Instance["state"], connected: boolean, instance_id = "one"): Instance => ({ instance_id, state, connected }) as Instance;
/** Segments of 0 to 100 in short. */
const short = (segments: readonly Segment<string>[]): string => segments.map((each) => `${each.from - T} ${each.state}`).join(", ");
const lane = (events: ActivityEntry[], instances: Instance[], knownFrom = 0): string =>
  short(lanes(events.toReversed(), instances, T, T + 100, T + knownFrom)[0]?.segments ?? []);

describe("lanes", () => {
  it.each([
    ["nothing happened", [], [today("live", true)], "0 connected"],
    ["it is silent since before", [], [today("stale", true)], "0 silent"],
    ["a connection was lost and made", [happened(30, "disconnected"), happened(50, "connected")], [today("live", true)], "0 connected, 30 disconnected, 50 connected"],
    ["it began within", [happened(20, "started"), happened(20, "connected")], [today("live", true)], "0 stopped, 20 connected"],
    ["it was killed and came back", [happened(20, "stale"), happened(60, "live")], [today("live", true)], "0 connected, 20 silent, 60 connected"],
    ["it was restarted", [happened(20, "stopped"), happened(40, "started"), happened(50, "connected")], [today("live", true)], "0 unknown, 20 stopped, 40 disconnected, 50 connected"],
    ["it was cleaned up", [happened(20, "gone")], [], "0 silent, 20 stopped"],
    ["it ran before it was restarted", [happened(10, "disconnected"), happened(40, "started"), happened(40, "connected")], [today("live", true)], "0 connected, 10 disconnected, 40 connected"],
    ["it took a revision", [happened(20, "applied")], [today("live", true)], "0 connected"],
    ["what lies ahead of a range in the past", [happened(130, "connected")], [today("live", true)], "0 disconnected"],
  ] as const)("%s", (_, events, instances, expected) => {
    expect(lane([...events], [...instances])).toBe(expected);
  });
  it("tells since when it knows", () => {
    expect(lane([happened(40, "disconnected")], [today("live", false)], 30)).toBe("0 unknown, 30 connected, 40 disconnected");
  });
  it("begins with what was before, and leaves out changes of the configuration", () => {
    const change: ActivityEntry = { ...happened(10, "config_changed"), instance_id: null };
    expect(lane([happened(-20, "connected"), change, happened(20, "stopped"), happened(40, "started")], [today("live", false)])).toBe(
      "0 connected, 20 stopped, 40 disconnected",
    );
  });
  it("are in order of their names", () => {
    const instances = ["i10", "i2", "i1"].map((name) => today("live", true, name));
    expect(lanes([], instances, T, T + 100, T).map((each) => each.name)).toEqual(["i1", "i2", "i10"]);
  });
});

describe("together", () => {
  it("counts the running instances that are connected", () => {
    const events = [
      happened(10, "started", "two"), happened(20, "connected", "two"), happened(40, "disconnected"), happened(50, "disconnected", "two"),
      happened(70, "stale", "two"), happened(80, "connected"),
    ];
    const all = lanes(events.toReversed(), [today("live", true), today("stale", false, "two")], T, T + 100, T);
    expect(short(together(all, T, T + 100))).toBe("0 all, 10 some, 20 all, 40 some, 50 none, 80 some");
  });
  it("is nothing without instances", () => {
    expect(short(together([], T, T + 100))).toBe("0 no_instance");
  });
});

import { describe, expect, it } from "vitest";

import type { Instance } from "~/api/types";

import { progressOf, progressWords, shownOf, summaryOf } from "./instances";

const instance: Instance = {
  instance_id: "shop-1", state: "live", boot_id: "b", started_at: "2026-01-31T08:00:00Z", first_seen_at: "2026-01-31T08:00:00Z",
  last_heartbeat_at: "2026-01-31T08:00:00Z", interval_seconds: 5, version: "1.0", host: "web-1.example.com", connected: true,
  connected_since: null, client_id: "c1", broker_info: null, connection_error: null, applied_revision: 4, rejected: null,
  subscribed_topics_count: 1, messages_received: 0, actions_executed: 0, actions_failed: 0, last_message_at: null, action_types: [], key_id: null,
};
const desired = { revision: 4, drifted: new Set<string>() };
const drifted = { revision: 4, drifted: new Set(["shop-1"]) };
const rejected = { revision: 4, error: "no host" };

describe("progressOf", () => {
  it.each([
    [{}, desired, "applied"],
    [{ applied_revision: 3 }, desired, "pending"],
    [{ applied_revision: null }, desired, "pending"],
    [{ applied_revision: 3, rejected }, desired, "rejected"],
    // It rejected another revision: that is over.
    [{ applied_revision: 3, rejected: { revision: 2, error: "" } }, desired, "pending"],
    [{}, drifted, "drifted"],
    [{ applied_revision: 3 }, drifted, "pending"],
    [{ state: "stale" as const }, desired, null],
    [{ applied_revision: null }, { revision: 0, drifted: new Set<string>() }, "applied"],
  ])("%o", (change, wanted, progress) => {
    expect(progressOf({ ...instance, ...change }, wanted)).toBe(progress);
  });
  it("comes with the reason of a rejection", () => {
    expect(progressWords({ ...instance, applied_revision: 3, rejected }, desired)).toEqual({ text: "rejected 4: no host", tone: "bad" });
  });
});

describe("shownOf", () => {
  const all = [
    { ...instance, instance_id: "shop-10" },
    { ...instance, instance_id: "shop-2", connected: false, messages_received: 5 },
    { ...instance, instance_id: "mail", state: "stale" as const, host: "web-2.example.com" },
    { ...instance, instance_id: "slow", applied_revision: 3 },
  ];
  const ids = (search: Parameters<typeof shownOf>[1]) => shownOf(all, search, desired).map((each) => each.instance_id);
  it("orders numbers as numbers, or trouble first", () => {
    expect(ids({})).toEqual(["mail", "shop-2", "shop-10", "slow"]);
    expect(ids({ sort: "state" })).toEqual(["shop-2", "mail", "shop-10", "slow"]);
    expect(ids({ sort: "messages", down: true }).at(-1)).toBe("shop-2");
  });
  it("finds by any of the names, and by how they are", () => {
    expect(ids({ q: "web-1 SHOP" })).toEqual(["shop-2", "shop-10"]);
    expect(ids({ show: "behind" })).toEqual(["slow"]);
    expect(ids({ show: "silent" })).toEqual(["mail"]);
    expect(ids({ show: "not_connected" })).toEqual(["shop-2"]);
  });
  it("sums up", () => {
    expect(summaryOf(all)).toBe("4 instances: 2 connected, 1 silent, 1 not connected");
    expect(summaryOf([])).toBe("0 instances");
  });
});

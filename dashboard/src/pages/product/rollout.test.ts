import { describe, expect, it } from "vitest";

import { effectWords, rolloutWords } from "./rollout";

const counts = { product_id: 1, desired_revision: 4, published_revision: 4, total: 3, applied: 3, rejected: 0, pending: 0, drifted: 0, complete: true };

describe("rolloutWords", () => {
  it.each([
    [{}, "on all 3 instances", "good"],
    [{ applied: 1, pending: 2, complete: false }, "on 1 of 3 instances", "warn"],
    [{ applied: 2, rejected: 1 }, "1 instance rejected it", "bad"],
    [{ published_revision: 3, complete: false }, "on its way", "warn"],
    [{ total: 0, applied: 0 }, "published; no live instance", "idle"],
    [{ desired_revision: 0, published_revision: 0, total: 0 }, "no configuration yet", "idle"],
  ] as const)("%o", (change, text, tone) => {
    expect(rolloutWords({ ...counts, ...change })).toEqual({ text, tone });
  });
});

describe("effectWords", () => {
  const effect = { connection: "keep" as const, subscribe: [], unsubscribe: [], actions_changed: [], live_instances: 3 };
  it.each([
    [{}, "Nothing changes for running instances."],
    [{ resubscribed: ["a", "b"] }, "2 subscriptions resubscribe on 3 instances; no reconnect."],
    [{ resubscribed: ["a"], added: ["b", "c"], removed: ["d"] }, "1 subscription resubscribes, 2 subscriptions begin, 1 subscription ends on 3 instances; no reconnect."],
    [{ actions_changed: ["a"] }, "actions of 1 subscription change in memory on 3 instances; no reconnect."],
    [{ secrets_changed: ["token"] }, "1 secret changes in memory on 3 instances; no reconnect."],
    [{ connection: "replace" as const }, "On 3 instances: each makes a new connection before it gives up the old one."],
    [{ added: ["a"], live_instances: 0 }, "1 subscription begins (no instance is live now); no reconnect."],
  ])("%o", (change, text) => {
    expect(effectWords({ ...effect, ...change })).toBe(text);
  });
});

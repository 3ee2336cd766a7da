import { describe, expect, it } from "vitest";

import type { Metrics } from "~/api/types";

import { connectedInWords, failuresInWords, latencyInWords, messagesInWords, rows, ticks, totals } from "./figures";

const T = Date.parse("2026-01-31T08:00:00Z");
const at = (minute: number): string => new Date(T + minute * 60_000).toISOString();
const quiet = { received: 0, executed: 0, failed: 0, p50: null, p95: null, p99: null, connected_instances: 0 };
const metrics = (points: Partial<Metrics["points"][number]>[], asOf = points.length): Metrics => ({
  product_id: 1, subscription_id: null, from: at(0), to: at(points.length), as_of: at(asOf), step_seconds: 60, resolution: "minute",
  points: points.map((each, minute) => ({ at: at(minute), ...quiet, ...each })),
});

describe("rows", () => {
  it("are per second, also of a step that is under way", () => {
    const found = rows(metrics([{ received: 120, executed: 60, failed: 6 }, { received: 30 }], 1.5));
    expect(found.map((row) => [row.received, row.executed, row.failing, row.failures])).toEqual([[2, 1, 0.1, 6], [1, 0, 0, 0]]);
  });
  it("leave out a step that has just begun", () => {
    expect(rows(metrics([{}, {}, {}], 2.1))).toHaveLength(2);
    expect(rows(metrics([{}, {}, {}], 2.25))).toHaveLength(3);
  });
});

describe("in words", () => {
  const busy = metrics([
    { received: 120, executed: 90, failed: 10, p50: 0.0005, p95: 0.02, p99: 2, connected_instances: 1 },
    { received: 60, executed: 60, failed: 0, p50: 0.01, p95: 0.02, p99: 0.03, connected_instances: 3 },
    { connected_instances: 2 },
  ]);
  const found = rows(busy);
  it("tells messages, with the busiest time", () => {
    expect(messagesInWords(busy, found)).toMatch(/^180 messages, 1.0 per second on average; most 2.0 per second, /);
  });
  it("tells the newest and the slowest processing", () => {
    expect(latencyInWords(found)).toMatch(/^Newest: half within 10 ms, 95 % within 20 ms, 99 % within 30 ms\. Slowest: 99 % within 2\.0 s, /);
    expect(latencyInWords(found.slice(0, 1))).toContain("half within < 1 ms");
  });
  it("tells failures as a share", () => {
    expect(failuresInWords(busy, found)).toMatch(/^10 of 160 actions failed \(6\.3 %\); most /);
    expect(failuresInWords(metrics([{ executed: 5 }]), rows(metrics([{ executed: 5 }])))).toBe("None: 5 actions ran well.");
  });
  it("tells connected instances", () => {
    expect(connectedInWords(found)).toBe("Newest: 2. Between 1 and 3.");
    expect(connectedInWords(rows(metrics([{ connected_instances: 2 }])))).toBe("Newest: 2. It did not change.");
    expect(connectedInWords(rows(metrics([{ connected_instances: null }])))).toBe("Not known of a single subscription.");
  });
  it("tells that nothing was there", () => {
    const none = metrics([{}, {}]);
    expect([messagesInWords(none, rows(none)), latencyInWords(rows(none)), failuresInWords(none, rows(none)), connectedInWords(rows(none))]).toEqual([
      "No message.", "Nothing was processed.", "No action ran.", "No instance was connected.",
    ]);
    expect(totals(none)).toEqual({ messages: 0, executed: 0, failed: 0, connected: 0 });
  });
});

describe("ticks", () => {
  it("are few, at round times", () => {
    const hour = metrics(Array.from({ length: 60 }, () => ({})));
    expect(ticks(rows(hour), 3_600_000).map((each) => new Date(each).getMinutes())).toEqual([10, 20, 30, 40, 50]);
  });
  it("are of each period the first step, wherever it falls in the viewer's zone", () => {
    const days = { ...metrics([]), points: Array.from({ length: 56 }, (_, n) => ({ at: at(60 * (3 * n + 1)), ...quiet })), step_seconds: 10_800, as_of: at(60 * 24 * 8) };
    expect(ticks(rows(days), 7 * 24 * 3_600_000)).toHaveLength(7);
  });
});

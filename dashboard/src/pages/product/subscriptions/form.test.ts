import { describe, expect, it } from "vitest";

import type { Subscription, Topics } from "~/api/types";

import { chosen, conflicts, copyOf, effectiveFilter, exampleTopic, faultsOf, formOf, inputOf, patchOf, same } from "./form";

const stored = {
  id: 7, name: "invoice_paid", topic: "/v3/x", topic_derived: false, topic_filter: "", enabled: true, description: "", concurrency: 16,
  actions: [{ type: "http_webhook", config: { url: "https://example.com" } }], stats: null, created_at: "", updated_at: "",
} as unknown as Subscription;
const topics: Topics = { prefix: "/v3", pattern: "{application_id}/{serial}", use_shared: true, shared_group: "bre", qos: 1 };
const form = formOf(stored);

it("goes from the API to the form and back", () => {
  expect(inputOf(form)).toEqual({ name: "invoice_paid", topic: "/v3/x", enabled: true, description: "", concurrency: 16, actions: stored.actions });
  expect(inputOf({ ...form, derived: true }).topic).toBeNull();
});

it("sends what has changed alone", () => {
  expect(patchOf(form, form)).toEqual({});
  expect(patchOf(form, { ...form, enabled: false })).toEqual({ enabled: false });
  const laidOut = { ...form, actions: form.actions.map((each) => ({ ...each, text: each.text.replaceAll("\n", "") })) };
  expect(same(form, laidOut)).toBe(true);
  expect(same(form, { ...form, actions: [] })).toBe(false);
});

it("copies under a free name, switched off", () => {
  expect(copyOf(stored, new Set(["invoice_paid"]))).toMatchObject({ name: "invoice_paid_copy", enabled: false });
  expect(copyOf(stored, new Set(["invoice_paid_copy"])).name).toBe("invoice_paid_copy_2");
  expect(copyOf({ ...stored, name: "a".repeat(100) }, new Set()).name.length).toBeLessThanOrEqual(100);
});

describe("faultsOf", () => {
  it("has nothing against what is stored", () => {
    expect(faultsOf(form)).toEqual({});
  });
  it.each([
    [{ name: "" }, "name"],
    [{ name: "Big" }, "name"],
    [{ name: "a".repeat(101) }, "name"],
    [{ topic: "a/#/b" }, "topic"],
    [{ topic: "a".repeat(513) }, "topic"],
    [{ concurrency: 0 }, "concurrency"],
    [{ concurrency: "" }, "concurrency"],
    [{ concurrency: 1001 }, "concurrency"],
    [{ description: "x".repeat(1001) }, "description"],
    [{ actions: [{ key: "a", text: "[]" }] }, "actions"],
  ])("%o", (change, field) => {
    expect(Object.keys(faultsOf({ ...form, ...change }))).toEqual([field]);
  });
  it("does not mind the topic of one whose topic is derived", () => {
    expect(faultsOf({ ...form, derived: true, topic: "#/#" })).toEqual({});
  });
});

it("tells the filter as it will be sent, and what is unknown in it", () => {
  expect(effectiveFilter({ ...form, derived: true }, topics, { application_id: "shop" })).toEqual({
    filter: "$share/bre//v3/shop/{serial}/invoice-paid",
    unknown: ["serial"],
  });
  expect(effectiveFilter(form, { ...topics, use_shared: false }, {})).toEqual({ filter: "/v3/x", unknown: [] });
  expect(exampleTopic(form, topics, {})).toBe("/v3/x");
  expect(exampleTopic({ ...form, topic: "a/+" }, topics, {})).toBe("");
});

it("takes a topic of theirs with the way it is made", () => {
  const theirs = { ...form, derived: true, topic: "" };
  expect(conflicts(form, { ...form, description: "mine" }, theirs)).toEqual([
    { field: "topic", mine: "/v3/x", theirs: "derived", untouched: true },
    { field: "description", mine: "mine", theirs: "none", untouched: false },
  ]);
  expect(chosen(new Set(["topic"]))).toEqual(new Set(["topic", "derived"]));
});

import { describe, expect, it } from "vitest";

import { derive, fault, fill, shared, variables } from "./topics";

it("fills in what is known, and leaves the rest in its braces", () => {
  expect(fill("/{a}/{b}/{a}", { a: "1" })).toBe("/1/{b}/1");
  expect(fill("{constructor}/{__proto__}", {})).toBe("{constructor}/{__proto__}");
  expect(fill("{a}", { a: "$&" })).toBe("$&");
  expect(variables("/{a}/{b}/{a}/{}/{1}")).toEqual(["a", "b"]);
});

it("derives and shares as the service does", () => {
  expect(derive("/v3", "{application_id}/events", "invoice_was_paid")).toBe("/v3/{application_id}/events/invoice-was-paid");
  expect(shared("/v3/x", "bre")).toBe("$share/bre//v3/x");
  expect(shared("/v3/x", null)).toBe("/v3/x");
});

describe("fault", () => {
  it.each(["a", "/a//b/", "a/+/b/#", "#", "+", "{a}/{b_1}", "$SYS/x", "a b/ü"])("%s is well formed", (topic) => {
    expect(fault(topic)).toBeNull();
  });
  it.each(["", "a#", "#/a", "a/#/b", "a+/b", "{a", "a}", "{}", "{1}", "{a b}", "a\0"])("%j is not", (topic) => {
    expect(fault(topic)).not.toBeNull();
  });
});

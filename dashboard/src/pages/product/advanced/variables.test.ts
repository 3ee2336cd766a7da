import { describe, expect, it } from "vitest";

import { changeOf, faultsOf, fieldAt, flat, formOf, taking } from "./variables";

const base = formOf({ name: "shop", description: "", variables: { region: "eu", application_id: "shop" } });

describe("faultsOf", () => {
  it("accepts what the service has", () => {
    expect(faultsOf(base)).toEqual({});
  });
  it.each([
    [{ name: "  " }, "name"],
    [{ name: "x".repeat(101) }, "name"],
    [{ description: "x".repeat(1001) }, "description"],
    [{ variables: [{ key: "a", name: "1st", value: "" }] }, "variables.0.name"],
    [{ variables: [...base.variables, { key: "b", name: "region", value: "us" }] }, "variables.2.name"],
    [{ variables: [{ key: "a", name: "a", value: "x".repeat(256) }] }, "variables.0.value"],
  ])("%o", (change, field) => {
    expect(Object.keys(faultsOf({ ...base, ...change }))).toEqual([field]);
  });
});

it("sends only what was changed; of variables all", () => {
  expect(changeOf(base, base)).toEqual({});
  expect(changeOf(base, { ...base, name: " store " })).toEqual({ name: "store" });
  expect(changeOf(base, { ...base, variables: base.variables.slice(1) })).toEqual({ variables: { region: "eu" } });
  // Another order is no change.
  expect(changeOf(base, { ...base, variables: [...base.variables].reverse() })).toEqual({});
});

it("takes fields of theirs, also those that theirs has no more", () => {
  const theirs = formOf({ name: "shop", description: "new", variables: { application_id: "store" } });
  expect(flat(taking(base, theirs, new Set(["description", "Variable region"])))).toEqual({
    name: "shop", description: "new", "Variable application_id": "shop",
  });
});

it("finds the row of a fault", () => {
  expect([fieldAt(base, "variables.region"), fieldAt(base, "variables.gone"), fieldAt(base, "name")]).toEqual(["variables.1.value", "", "name"]);
});

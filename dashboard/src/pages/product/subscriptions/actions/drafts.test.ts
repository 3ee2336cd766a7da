import { describe, expect, it } from "vitest";

import { actionFaults, actionOf, conditionsInWords, draftOf, moved, summary, templateOf, typeIn } from "./drafts";

it("takes JSON objects alone for actions", () => {
  expect(actionOf('{"type": "x"}')).toEqual({ type: "x" });
  expect([actionOf("[]"), actionOf("null"), actionOf("{"), actionOf("")]).toEqual([null, null, null, null]);
  expect(typeIn('{"config": {"type": "inner"}, "type": "x"}')).toBe("x");
  expect(typeIn('{"type": "x", ')).toBe("x");
  expect(typeIn("{}")).toBe("");
});

it("moves within the list alone", () => {
  const list = ["a", "b", "c"];
  expect(moved(list, 0, 2)).toEqual(["b", "c", "a"]);
  expect(moved(list, 2, 0)).toEqual(["c", "a", "b"]);
  for (const [from, to] of [[0, -1], [2, 3], [1, 1], [5, 0]] as const) expect(moved(list, from, to)).toBe(list);
});

it("puts a fault at the action it is about, wherever that goes", () => {
  const drafts = [draftOf({ type: "a" }), draftOf({ type: "b" })];
  const faults = [
    { loc: ["body", "actions", 1, "config", "url"], msg: "wrong" },
    { loc: ["body", "actions", 1, "type"], msg: "missing" },
    { loc: ["body", "actions", 7, "type"], msg: "nowhere" },
    { loc: ["body", "name"], msg: "taken" },
  ];
  expect(actionFaults(faults, drafts)).toEqual({ [drafts[1]?.key ?? ""]: [{ path: ["config", "url"], msg: "wrong" }, { path: ["type"], msg: "missing" }] });
});

it("begins a new action with what its schema requires", () => {
  const schema = { properties: { config: { $ref: "#/$defs/Mail" } }, $defs: { Mail: { required: ["to", "subject"] } } };
  expect(templateOf("smtp_email", schema)).toEqual({ type: "smtp_email", conditions: {}, config: { to: "", subject: "" } });
  expect(templateOf("healthcheck_response", { properties: { config: { $ref: "#/$defs/None" } }, $defs: { None: { required: [] } } })).toEqual({ type: "healthcheck_response", conditions: {} });
  expect(templateOf("own")).toEqual({ type: "own", conditions: {}, config: {} });
});

describe("in words", () => {
  it("tells what an action does and when", () => {
    const action = { type: "http_webhook", name: "notify", conditions: { kind: "order", country: ["DE", "AT"], id: "ANY" }, config: { url: "https://example.com" } };
    expect(summary(action)).toBe("notify · https://example.com");
    expect(conditionsInWords(action)).toBe('when kind is "order", country is one of "DE", "AT", id is anything');
    expect(conditionsInWords({ type: "x" })).toBe("for every message");
  });
});

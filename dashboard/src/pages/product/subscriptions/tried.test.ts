import { expect, it } from "vitest";

import type { TriedAction } from "~/api/types";

import { conditionRows, sentParts, verdict } from "./tried";

const action = (more: Partial<TriedAction> | Record<string, unknown>) =>
  ({ index: 0, type: "http_webhook", condition_holds: true, unmet: [], would_send: null, config: {}, error: null, ...more });

it("says what becomes of an action", () => {
  expect(verdict(action({ would_send: { url: "x" } })).words).toBe("would send");
  expect(verdict(action({ condition_holds: false })).words).toBe("would not run");
  expect(verdict(action({ error: "no" })).words).toBe("would fail");
  expect(verdict(action({ type: "own" })).words).toBe("would run");
  expect(verdict(action({ type: "healthcheck_response" })).words).toBe("would send nothing");
});

it("shows each condition, and what was there in place of what was expected", () => {
  const unmet = [{ key: "country", expected: ["DE"], actual: "FR" }, { key: "gone", expected: 1, actual: null }];
  expect(conditionRows(action({ unmet }), { kind: "order", country: ["DE"], gone: 1 })).toEqual([
    { key: "kind", expected: '"order"', actual: null, holds: true },
    { key: "country", expected: '["DE"]', actual: '"FR"', holds: false },
    { key: "gone", expected: "1", actual: "null, or not there", holds: false },
  ]);
});

it("takes apart what would be sent", () => {
  const request = { method: "POST", url: "https://example.com", headers: { A: "1" }, body: '{"id":7}' };
  expect(sentParts(action({ would_send: request }))).toEqual([
    { name: "Request", text: "POST https://example.com" },
    { name: "Headers", text: "A: 1" },
    { name: "Body", text: '{\n  "id": 7\n}' },
  ]);
  expect(sentParts(action({ would_send: { topic: "a", payload: '{"id":12345678901234567890}', qos: 1, retain: false } }))).toEqual([
    { name: "Topic", text: "a" },
    { name: "Payload", text: '{"id":12345678901234567890}' },
    { name: "Quality of service", text: "1" },
    { name: "Retained", text: "no" },
  ]);
  expect(sentParts(action({ type: "own", config: { a: 1 } }))).toEqual([{ name: "What own would get", text: '{\n  "a": 1\n}' }]);
});

import { describe, expect, it } from "vitest";

import { diagnose } from "./diagnose";
import { parse, pathOf, rangeAt } from "./places";
import { beginning, propertiesOf, schemasAt, valuesOf } from "./schema";

const SCHEMA = {
  type: "object",
  required: ["type", "config"],
  properties: {
    type: { const: "http_webhook", type: "string" },
    retries: { type: "integer", minimum: 0, maximum: 20 },
    config: { $ref: "#/$defs/HttpWebhook" },
  },
  additionalProperties: false,
  $defs: {
    HttpWebhook: {
      type: "object",
      required: ["url"],
      properties: {
        url: { type: "string", minLength: 1, pattern: "^https?://", examples: ["https://example.com/hook"] },
        method: { enum: ["GET", "POST"], default: "POST" },
        headers: { type: "object", additionalProperties: { type: "string" } },
        body: { anyOf: [{ type: "string" }, { type: "null" }], default: null },
      },
      additionalProperties: false,
    },
  },
};

const told = (text: string): string[] => diagnose(text, SCHEMA).map(({ from, to, msg }) => `${text.slice(from, to)}: ${msg}`);

describe("diagnose", () => {
  it("has nothing against what fits", () => {
    expect(told('{"type": "http_webhook", "config": {"url": "https://example.com", "body": null}}')).toEqual([]);
  });

  it.each([
    ['{"type": "http_webhook", "config": {"url": ""}}', ['"": must not be empty']],
    ['{"type": "http_webhook", "config": {"url": "ftp://a"}}', ['"ftp://a": does not have the right form, such as https://example.com/hook']],
    ['{"type": "http_webhook", "config": {"url": "http://a", "method": "PUT"}}', ['"PUT": must be one of GET, POST']],
    ['{"type": "http_webhook", "config": {"url": "http://a", "body": 3}}', ["3: must be string or null"]],
    ['{"type": "http_webhook", "config": {"url": "http://a", "uri": 3}}', ['"uri": is not a known field; known are: url, method, headers, body']],
    ['{"type": "http_webhook", "config": {"url": "http://a", "headers": {"a/b ü": 1}}}', ["1: must be string"]],
    ['{"retries": 1.5}', ["{: type is required", "{: config is required", "1.5: must be integer"]],
    ['{"type": "http_webhook", "retries": 21, "config": []}', ["21: must be at most 20", "[: must be object"]],
  ])("%s", (text, expected) => {
    expect(told(text)).toEqual(expected);
  });

  it("tells where the syntax breaks, and nothing else", () => {
    const [found, ...more] = diagnose('{"type": "x" "config": {}}', SCHEMA);
    expect(more).toEqual([]);
    expect(found?.msg).toMatch(/^This is not JSON yet: /);
    expect(found?.from).toBeGreaterThan(8);
    expect(diagnose("", SCHEMA)).toHaveLength(1);
  });

  it("puts what the service says at its place, once", () => {
    const text = '{"type": "http_webhook", "config": {"url": "http://"}}';
    const found = diagnose(text, SCHEMA, [{ path: ["config", "url"], msg: "no host" }, { path: ["config", "gone"], msg: "missing" }]);
    expect(found.map(({ from, to, msg }) => [text.slice(from, to), msg])).toEqual([["{", "missing"], ['"http://"', "no host"]]);
  });

  it("warns of numbers that a browser cannot keep", () => {
    expect(told('{"type": "http_webhook", "config": {"url": "http://12345678901234567890"}}')).toEqual([]);
    expect(diagnose('{"a": 12345678901234567891, "b": 9007199254740992}', undefined)).toHaveLength(1);
  });
});

describe("places", () => {
  const text = '{"a": [1, {"b": "x"}], "c": {}}';
  it("finds a value by its path, and the path of a value", () => {
    const { from, to } = rangeAt(parse(text), text, ["a", 1, "b"]);
    expect(text.slice(from, to)).toBe('"x"');
    expect(pathOf(parse(text).resolveInner(from, 1), text)).toEqual(["a", 1, "b"]);
  });
});

describe("schema", () => {
  it("knows what may stand where", () => {
    const config = schemasAt(SCHEMA, ["config"]);
    expect(propertiesOf(SCHEMA, config).map(({ name, detail, required }) => [name, detail, required])).toEqual([
      ["url", "string", true], ["method", "GET | POST", false], ["headers", "object", false], ["body", "string | null", false],
    ]);
    expect(valuesOf(schemasAt(SCHEMA, ["config", "method"]))).toEqual(["GET", "POST"]);
    expect(beginning(schemasAt(SCHEMA, ["config", "headers"]))).toEqual({ text: "{}", cursor: 1 });
    expect(beginning(schemasAt(SCHEMA, ["config", "url"]))).toEqual({ text: '""', cursor: 1 });
    expect(schemasAt(SCHEMA, ["config", "headers", "any"])).toEqual([{ type: "string" }]);
  });
  it("ends where references turn in circles", () => {
    expect(schemasAt({ $ref: "#" }, ["a"])).toEqual([]);
  });
});

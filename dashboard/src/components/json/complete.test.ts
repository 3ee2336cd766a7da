import { CompletionContext } from "@codemirror/autocomplete";
import { json } from "@codemirror/lang-json";
import { EditorState } from "@codemirror/state";
import { expect, it } from "vitest";

import { schemaCompletion } from "./complete";

const SCHEMA = {
  type: "object",
  properties: {
    type: { type: "string", const: "http_webhook" },
    config: {
      type: "object",
      required: ["url"],
      properties: {
        url: { type: "string", description: "Where to" },
        method: { enum: ["GET", "POST"], default: "POST" },
        retain: { type: "boolean" },
        headers: { type: "object", additionalProperties: { type: "string" } },
      },
    },
  },
};
const NAMES = [{ name: "payload", info: "" }, { name: "secrets.hook", info: "" }];

/** What is offered where `|` stands. */
function offered(marked: string, explicit = true): string[] {
  const at = marked.indexOf("|");
  const state = EditorState.create({ doc: marked.replace("|", ""), extensions: json() });
  const found = schemaCompletion(SCHEMA, NAMES)(new CompletionContext(state, at, explicit));
  return found && "options" in found ? found.options.map((each) => each.displayLabel ?? each.label) : [];
}

it.each([
  ['{|}', ["type", "config"]],
  ['{"type": "http_webhook", |}', ["config"]],
  ['{"type": "http_webhook", "c|"}', ["config"]],
  ['{"config": {"url": "x",  | }}', ["method", "retain", "headers"]],
  ['{"config": {"url": "x", "me|": "GET"}}', ["method", "retain", "headers"]],
  ['{"config": {"method": |}}', ['"GET"', '"POST"']],
  ['{"config": {"method": "G|"}}', ['"GET"', '"POST"']],
  ['{"config": {"retain": |}}', ["true", "false"]],
  ['{"config": {"headers": {|}}}', []],
  ['{"config": {"url": "https://example.com/{{ pay|"}}', ["payload", "secrets.hook"]],
  ['{"config": {"url": "https://example.com/{% if secrets.|"}}', ["payload", "secrets.hook"]],
  ['{"config": {"url": "https://example.com/{{ payload }}|"}}', []],
  ["|", []],
])("%s", (marked, expected) => {
  expect(offered(marked)).toEqual(expected);
});

it("offers nothing unasked where nothing is typed", () => {
  expect(offered('{"config": {"url": "x", |}}', false)).toEqual([]);
});

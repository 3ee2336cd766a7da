/** What came of trying a message, in words. */

import type { TriedAction } from "~/api/types";

export interface Verdict {
  kind: "sends" | "waits" | "fails";
  words: string;
  note?: string;
}

export function verdict(action: TriedAction): Verdict {
  if (!action.condition_holds) return { kind: "waits", words: "would not run", note: "Its conditions do not hold." };
  if (action.error) return { kind: "fails", words: "would fail" };
  if (action.would_send) return { kind: "sends", words: "would send" };
  if (action.type === "healthcheck_response") return { kind: "waits", words: "would send nothing", note: "The message is an answer itself." };
  return { kind: "sends", words: "would run", note: "What the product's own code does with it is not known here." };
}

export interface ConditionRow {
  key: string;
  expected: string;
  /** Null: as expected. */
  actual: string | null;
  holds: boolean;
}

/** Every condition: those that hold and, with what was there instead, those that do not. */
export function conditionRows(action: TriedAction, conditions: Readonly<Record<string, unknown>>): ConditionRow[] {
  const unmet = new Map(action.unmet.map((each) => [each.key, each]));
  const held = Object.entries(conditions).filter(([key]) => !unmet.has(key));
  return [
    ...held.map(([key, expected]) => ({ key, expected: JSON.stringify(expected), actual: null, holds: true })),
    ...[...unmet.values()].map(({ key, expected, actual }) => ({
      key, expected: JSON.stringify(expected), actual: actual === null ? "null, or not there" : JSON.stringify(actual), holds: false,
    })),
  ];
}

export interface Part {
  name: string;
  text: string;
}

/** What would be sent, part by part: a request, a mail, a message, or the settings that the product's own code would get. */
export function sentParts({ would_send, config, type }: TriedAction): Part[] {
  if (!would_send) return config && Object.keys(config).length > 0 ? [{ name: `What ${type} would get`, text: JSON.stringify(config, null, 2) }] : [];
  const sent = would_send as Record<string, unknown>;
  if (typeof sent["url"] !== "string") return Object.entries(sent).map(part).filter((each) => each.text !== "");
  const { method, url, ...rest } = sent;
  return [{ name: "Request", text: `${String(method)} ${url}` }, ...Object.entries(rest).map(part).filter((each) => each.text !== "")];
}

function part([name, value]: [string, unknown]): Part {
  return { name: NAMES[name] ?? name, text: textOf(value) };
}

const NAMES: Record<string, string> = {
  headers: "Headers", body: "Body", to: "To", subject: "Subject", topic: "Topic", payload: "Payload", qos: "Quality of service", retain: "Retained",
};

function textOf(value: unknown): string {
  if (typeof value === "string") return pretty(value);
  if (Array.isArray(value)) return value.map(String).join(", ");
  if (typeof value === "object" && value !== null) return Object.entries(value).map(([name, each]) => `${name}: ${String(each)}`).join("\n");
  if (typeof value === "boolean") return value ? "yes" : "no";
  return JSON.stringify(value);
}

/** JSON laid out, where that loses nothing; other text as it is. */
function pretty(text: string): string {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === "object" && value !== null && !/\d{16}/.test(text) ? JSON.stringify(value, null, 2) : text;
  } catch {
    return text;
  }
}

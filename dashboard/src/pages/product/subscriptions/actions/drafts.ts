/** Actions while they are edited: JSON text that need not be valid yet. */

import type { Fault } from "~/api/problem";

export interface ActionDraft {
  /** Stays with the action when it moves. */
  key: string;
  text: string;
}

export type Action = Record<string, unknown>;

let last = 0;

export function draftOf(action: Action): ActionDraft {
  last += 1;
  return { key: `action-${last}`, text: JSON.stringify(action, null, 2) };
}

/** The action; null when the text is no JSON object. */
export function actionOf(text: string): Action | null {
  try {
    const value = JSON.parse(text) as unknown;
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A new action of a type; what its config must have is left empty, to be filled in. */
export function templateOf(type: string, schema?: Record<string, unknown>): Action {
  const required = configSchema(schema)["required"];
  const config = Object.fromEntries((Array.isArray(required) ? required : []).map((key) => [String(key), ""]));
  return { type, conditions: {}, ...(schema && Object.keys(config).length === 0 ? {} : { config }) };
}

function configSchema(schema: Record<string, unknown> | undefined): Record<string, unknown> {
  const config = isObject(schema?.["properties"]) ? schema["properties"]["config"] : undefined;
  const name = isObject(config) && typeof config["$ref"] === "string" ? config["$ref"].replace("#/$defs/", "") : "";
  const found = isObject(schema?.["$defs"]) ? schema["$defs"][name] : undefined;
  return isObject(found) ? found : {};
}

/** The type of an action; empty where it has none yet. */
export function typeOf(action: Action | null): string {
  const type = action?.["type"];
  return typeof type === "string" ? type : "";
}

/** The type that a text speaks of, also while it is no JSON yet: what is being typed needs its schema most. */
export function typeIn(text: string): string {
  const action = actionOf(text);
  return action ? typeOf(action) : (/"type"\s*:\s*"([^"\\]*)"/.exec(text)?.[1] ?? "");
}

/** What an action does, in a few words. */
export function summary(action: Action): string {
  const config = isObject(action["config"]) ? action["config"] : {};
  const target = ["url", "topic", "subject", "to"].map((key) => config[key]).find((each) => typeof each === "string" && each !== "");
  const name = typeof action["name"] === "string" ? action["name"] : "";
  return [name, typeof target === "string" ? target : ""].filter(Boolean).join(" · ");
}

/** When an action runs, in words: `kind is "order", country is one of "DE", "AT"`. */
export function conditionsInWords(action: Action): string {
  const conditions = isObject(action["conditions"]) ? Object.entries(action["conditions"]) : [];
  if (conditions.length === 0) return "for every message";
  return `when ${conditions.map(([path, wanted]) => `${path} ${expectation(wanted)}`).join(", ")}`;
}

function expectation(wanted: unknown): string {
  if (wanted === "ANY") return "is anything";
  if (Array.isArray(wanted)) return `is one of ${wanted.map((each) => JSON.stringify(each)).join(", ")}`;
  return `is ${JSON.stringify(wanted)}`;
}

/** The list with the element at `from` at `to`; the same list when that is no place in it. */
export function moved<T>(list: T[], from: number, to: number): T[] {
  const element = list[from];
  if (element === undefined || to < 0 || to >= list.length || from === to) return list;
  const rest = list.filter((_, index) => index !== from);
  return [...rest.slice(0, to), element, ...rest.slice(to)];
}

/** A fault of one action, at a place in it. */
export interface ActionFault {
  path: (string | number)[];
  msg: string;
}

/** The faults of each action by its key; `drafts` are as they were sent. */
export function actionFaults(faults: readonly Fault[], drafts: readonly ActionDraft[]): Record<string, ActionFault[]> {
  const found: Record<string, ActionFault[]> = {};
  for (const { loc, msg } of faults) {
    const [body, actions, index, ...path] = loc;
    const draft = body === "body" && actions === "actions" && typeof index === "number" ? drafts[index] : undefined;
    if (draft) (found[draft.key] ??= []).push({ path, msg });
  }
  return found;
}

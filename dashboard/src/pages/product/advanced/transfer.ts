/** Files of a whole configuration: what one is, what it would change, and where its faults stand. */

import { placeWords, type Fault } from "~/api/problem";
import type { ConfigAnswer } from "~/api/types";
import { count } from "~/lib/format";

import { between, partsOf, type PartChange } from "./changes";

/** The service takes no more. */
export const MOST_BYTES = 1_000_000;
export const TOO_LARGE = "It is larger than 1 MB, and the service takes no more.";

export type ReadFile = { document: Record<string, unknown>; about: string } | { error: string };

/** What a text is, before the service is asked. */
export function readFile(text: string): ReadFile {
  if (new Blob([text]).size > MOST_BYTES) return { error: TOO_LARGE };
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    return { error: `It is not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  if (typeof document !== "object" || document === null || Array.isArray(document)) return { error: "It must be one JSON object, in braces." };
  return { document: document as Record<string, unknown>, about: aboutOf(document as Record<string, unknown>) };
}

function aboutOf(document: Record<string, unknown>): string {
  const { events, subscriptions, product, revision } = document;
  if ("events" in document) {
    return `A mqtt_events.json with ${count(Array.isArray(events) ? events.length : 0, "event")}. Each is added as a subscription, or takes the place of the one of its name; the others and the broker stay.`;
  }
  const from = typeof product === "string" && product ? ` of ${product}${typeof revision === "number" ? ` at revision ${revision}` : ""}` : "";
  return `An export${from} with ${count(Array.isArray(subscriptions) ? subscriptions.length : 0, "subscription")}. It takes the place of the whole configuration; passwords, keys and named secrets stay as they are here.`;
}

type Configured = Pick<ConfigAnswer, "mqtt_config" | "subscriptions">;

/** What differs between what is configured now and what would be. */
export function importParts(now: Configured, then: Configured): PartChange[] {
  return partsOf(between(documentOf(now), documentOf(then)));
}

function documentOf({ mqtt_config, subscriptions }: Configured): Record<string, unknown> | null {
  if (!mqtt_config) return null;
  return {
    broker: mqtt_config.broker,
    topics: mqtt_config.topics,
    subscriptions: (subscriptions ?? []).map(({ id, name, topic, topic_derived, enabled, description, actions, concurrency }) => ({
      id, name, topic: topic_derived ? null : topic, enabled, description, actions, concurrency,
    })),
  };
}

/** `1 subscription added, 2 changed; Broker, Topics changed`. */
export function importWords(parts: readonly PartChange[]): string {
  const subscriptions = parts.filter((each) => each.name.startsWith("Subscription "));
  const kinds = (["added", "changed", "removed"] as const).flatMap((kind) => {
    const number = subscriptions.filter((each) => each.kind === kind).length;
    return number === 0 ? [] : [{ kind, number }];
  });
  const counted = kinds.map(({ kind, number }, index) => `${index === 0 ? count(number, "subscription") : String(number)} ${kind}`).join(", ");
  const settings = parts.filter((each) => !subscriptions.includes(each)).map((each) => `${each.name.toLowerCase()} ${each.kind}`).join(", ");
  return [counted, settings].filter(Boolean).join("; ") || "Nothing differs from what is configured now";
}

/** A fault of a file, and from where to where in its text it stands. */
export interface PlacedFault {
  place: string;
  msg: string;
  line: number | null;
  from: number;
  to: number;
}

/** Finds the places of faults in the text that was sent. */
export async function placed(text: string, faults: readonly Fault[]): Promise<PlacedFault[]> {
  // An editor's parser: loaded when there is something to find.
  const { jsonLanguage } = await import("@codemirror/lang-json");
  const root = jsonLanguage.parser.parse(text).topNode.firstChild;
  return faults.map(({ loc, msg }) => {
    const path = loc[0] === "body" ? loc.slice(1) : loc;
    const node = root ? nodeAt(text, root, path) : null;
    const line = node ? text.slice(0, node.from).split("\n").length : null;
    return { place: placeWords(path), msg, line, from: node?.from ?? 0, to: node?.to ?? 0 };
  });
}

interface Node {
  name: string;
  from: number;
  to: number;
  getChild: (name: string) => Node | null;
  getChildren: (name: string) => Node[];
  firstChild: Node | null;
  lastChild: Node | null;
  nextSibling: Node | null;
}

const VALUES = new Set(["Object", "Array", "String", "Number", "True", "False", "Null"]);

/** The node of a path, or of as much of it as there is. */
function nodeAt(text: string, root: Node, path: readonly (string | number)[]): Node {
  let node = root;
  for (const step of path) {
    const next: Node | null = typeof step === "number" ? (elements(node)[step] ?? null) : member(text, node, step);
    if (!next) return node;
    node = next;
  }
  return node;
}

function member(text: string, node: Node, name: string): Node | null {
  const found = node.getChildren("Property").find((each) => {
    const key = each.getChild("PropertyName");
    return key !== null && JSON.parse(text.slice(key.from, key.to)) === name;
  });
  return found?.lastChild ?? null;
}

function elements(node: Node): Node[] {
  const found: Node[] = [];
  for (let each = node.firstChild; each; each = each.nextSibling) if (VALUES.has(each.name)) found.push(each);
  return found;
}

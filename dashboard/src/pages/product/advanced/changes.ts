/** What differs between two configurations, field by field and in words. */

import { moment } from "~/lib/format";

import { LABELS } from "../broker/form";

/** One difference as the service tells it: a path, and any value before and after. */
export interface PathChange {
  path: (string | number)[];
  before?: unknown;
  after?: unknown;
}

type Path = readonly (string | number)[];

export interface FieldChange {
  name: string;
  before: string;
  after: string;
}

/** The changes of one part of the configuration. */
export interface PartChange {
  name: string;
  kind: "added" | "removed" | "changed";
  fields: FieldChange[];
}

type Document = Record<string, unknown>;
interface Item extends Document {
  id: number;
  name: string;
}

/** The differences between two documents of the history; a subscription is known by its id. */
export function between(before: Document | null | undefined, after: Document | null | undefined): PathChange[] {
  const [old, now] = [before ?? {}, after ?? {}];
  const changes: PathChange[] = [];
  for (const key of new Set([...Object.keys(old), ...Object.keys(now)])) {
    if (key !== "subscriptions") changes.push({ path: [key], before: old[key], after: now[key] });
  }
  const [items, wanted] = [itemsOf(old), itemsOf(now)];
  for (const id of new Set([...items.keys(), ...wanted.keys()])) {
    const name = (wanted.get(id) ?? items.get(id))?.name ?? "";
    changes.push({ path: ["subscriptions", name], before: items.get(id), after: wanted.get(id) });
  }
  return changes.filter((each) => JSON.stringify(each.before) !== JSON.stringify(each.after));
}

function itemsOf(document: Document): Map<number, Item> {
  return new Map(((document["subscriptions"] ?? []) as Item[]).map((each) => [each.id, each]));
}

/** The changes by part: broker, topics, variables, each subscription, secrets. */
export function partsOf(changes: readonly PathChange[]): PartChange[] {
  const parts = new Map<string, { place: Path; kind: PartChange["kind"]; leaves: Leaf[] }>();
  for (const change of changes) {
    const depth = change.path[0] === "subscriptions" ? 2 : 1;
    const place = change.path.slice(0, depth);
    const kind = kindOf(change, depth);
    const told = leaves(change.path.slice(depth), change.before, change.after).filter((leaf) => kind === "changed" || !isEmpty(leaf));
    const part = parts.get(place.join("\n")) ?? { place, kind, leaves: [] };
    part.leaves.push(...told);
    parts.set(place.join("\n"), part);
  }
  return [...parts.values()]
    .filter((part) => part.leaves.length > 0)
    .sort((a, b) => rank(PARTS, a.place) - rank(PARTS, b.place))
    .map(({ place, kind, leaves: told }) => ({ name: partName(place), kind, fields: inOrder(place, told).map((leaf) => fieldOf(place, leaf)) }));
}

const PARTS = ["broker", "topics", "variables", "subscriptions", "secrets"];

function rank(order: readonly string[], path: Path): number {
  return order.indexOf(String(path[0]));
}

function kindOf(change: PathChange, depth: number): PartChange["kind"] {
  if (change.path.length > depth) return "changed";
  return isNothing(change.before) ? "added" : isNothing(change.after) ? "removed" : "changed";
}

interface Leaf {
  path: Path;
  before: unknown;
  after: unknown;
}

/** Down to what is no object and no list of objects. */
function leaves(path: Path, before: unknown, after: unknown): Leaf[] {
  if (isNothing(before) && isNothing(after)) return [];
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  if (!isBranch(before) && !isBranch(after)) return [{ path, before, after }];
  const [old, now] = [childrenOf(before), childrenOf(after)];
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((key) => leaves([...path, key], old.get(key), now.get(key)));
}

function isBranch(value: unknown): boolean {
  return Array.isArray(value) ? value.some((each) => typeof each === "object" && each !== null) : typeof value === "object" && value !== null;
}

function childrenOf(value: unknown): Map<string | number, unknown> {
  if (Array.isArray(value)) return new Map(value.map((each, index) => [index, each as unknown]));
  return new Map(typeof value === "object" && value !== null ? Object.entries(value) : []);
}

function isNothing(value: unknown): boolean {
  return value === null || value === undefined;
}

/** Nothing that would have to be told of what is new or gone. */
function isEmpty({ before, after }: Leaf): boolean {
  return [before, after].every((each) => isNothing(each) || each === "" || (Array.isArray(each) && each.length === 0));
}

function partName(place: Path): string {
  const [part, name] = place.map(String);
  if (part === "subscriptions") return `Subscription ${name ?? ""}`;
  return part === undefined ? "" : part.charAt(0).toUpperCase() + part.slice(1);
}

const SUBSCRIPTION: Record<string, string> = {
  name: "Name", topic: "Topic", enabled: "On", description: "Description", concurrency: "Concurrency", actions: "Actions",
};

/** As one reads them, not as they are stored; the id of a subscription tells nobody anything. */
function inOrder(place: Path, told: readonly Leaf[]): Leaf[] {
  if (place[0] !== "subscriptions") return [...told].sort((a, b) => rank(SETTINGS, a.path) - rank(SETTINGS, b.path));
  const order = Object.keys(SUBSCRIPTION);
  return told.filter(({ path }) => path[0] !== "id").sort((a, b) => rank(order, a.path) - rank(order, b.path));
}

const SETTINGS = Object.keys(LABELS);

function fieldOf(place: Path, { path, before, after }: Leaf): FieldChange {
  const show = (value: unknown): string => shown(place, path, value);
  return { name: fieldName(place, path), before: show(before), after: show(after) };
}

function fieldName(place: Path, path: Path): string {
  const [first, second, ...rest] = path;
  if (place[0] === "broker" || place[0] === "topics") return String(first) in LABELS ? LABELS[first as keyof typeof LABELS] : path.join(" › ");
  if (place[0] !== "subscriptions") return path.join(" › ");
  const name = SUBSCRIPTION[String(first)] ?? String(first);
  return first === "actions" && second !== undefined ? [`Action ${Number(second) + 1}`, ...rest].join(" › ") : name;
}

function shown(place: Path, path: Path, value: unknown): string {
  const field = path[0];
  if (isNothing(value)) return place[0] === "subscriptions" && field === "topic" ? "made from prefix, pattern and name" : "none";
  if (place[0] === "secrets") return typeof value === "string" ? `stored ${moment(value)}` : "stored";
  if (value === "***") return "stored";
  if (value === "") return "empty";
  if (typeof value === "boolean") return value ? "on" : "off";
  return typeof value === "string" || typeof value === "number" ? String(value) : JSON.stringify(value);
}

const MOST = 3;

const ACTIONS: Record<string, string> = {
  put_config: "Broker and topics changed",
  delete_config: "Configuration deleted",
  delete_product: "Product deleted",
  update_product: "Variables changed",
  create_subscription: "Subscription added",
  update_subscription: "Subscription changed",
  delete_subscription: "Subscription deleted",
  import: "Configuration imported",
  restore: "Older revision restored",
  put_secret: "Secret stored",
  delete_secret: "Secret deleted",
};

/** "Subscription added" of `create_subscription`; an action of a newer service without its underscores. */
function actionWords(action: string): string {
  return ACTIONS[action] ?? action.replaceAll("_", " ");
}

/** A revision in words: what was done, and to what. */
export function revisionWords(revision: { action: string; before?: Document | null; after?: Document | null }): { title: string; detail: string } {
  const { action, before, after } = revision;
  if (!after) return { title: actionWords(action), detail: "" };
  if (!before) return { title: action === "put_config" ? "Configuration created" : actionWords(action), detail: "" };
  const parts = partsOf(between(before, after)).map(partWords);
  const rest = parts.length - MOST;
  const detail = [...parts.slice(0, MOST), ...(rest > 0 ? [`and ${rest} more`] : [])].join("; ");
  return { title: actionWords(action), detail: detail || "A stored password or key, which is not shown" };
}

function partWords(part: PartChange): string {
  if (part.kind !== "changed") return `${part.name} ${part.kind}`;
  const names = [...new Set(part.fields.map((each) => each.name))];
  return `${part.name}: ${names.slice(0, MOST).join(", ")}${names.length > MOST ? ", …" : ""}`;
}

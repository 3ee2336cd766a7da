/** What is wrong with a JSON text, where, and in words for a person. */

import { Validator } from "@cfworker/json-schema";

import { nameAt, parse, rangeAt, type Range, type Tree } from "./places";
import { propertiesOf, schemasAt, valuesOf, type Json, type Path } from "./schema";

/** A fault that somebody else found, at a place of the value. */
export interface PlacedFault {
  path: Path;
  msg: string;
}

export interface Finding extends Range {
  /** The place, as `config.url`; empty: the whole. */
  place: string;
  msg: string;
}

/** Everything that is wrong: the syntax; if that is right, what the schema refuses and what `faults` tell. */
export function diagnose(text: string, schema: Json | undefined, faults: readonly PlacedFault[] = []): Finding[] {
  const tree = parse(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return [{ ...brokenAt(tree, text), place: "", msg: syntaxWords(error) }];
  }
  const told = faults.map(({ path, msg }) => ({ ...rangeAt(tree, text, path), place: path.join("."), msg }));
  const known = new Set(told.map((each) => each.place));
  const refused = schema ? refusals(schema, value, tree, text).filter((each) => !known.has(each.place)) : [];
  return [...told, ...refused, ...inexact(tree, text)].sort((one, other) => one.from - other.from);
}

function brokenAt(tree: Tree, text: string): Range {
  const cursor = tree.cursor();
  do {
    if (!cursor.type.isError) continue;
    // An error of no length is where something is missing.
    return cursor.from < cursor.to ? { from: cursor.from, to: cursor.to } : { from: Math.max(0, cursor.from - 1), to: Math.max(1, cursor.from) };
  } while (cursor.next());
  return { from: 0, to: text.length };
}

function syntaxWords(error: unknown): string {
  const words = error instanceof Error ? error.message : String(error);
  return `This is not JSON yet: ${words.replace(/ in JSON at position \d+.*$| \(line \d+ column \d+\)$/s, "").replace(/^JSON\.parse: /, "")}`;
}

/** Those hold the others together and say nothing by themselves. */
const FRAMES = new Set(["properties", "$ref", "additionalProperties", "propertyNames", "items"]);

function refusals(schema: Json, value: unknown, tree: Tree, text: string): Finding[] {
  const { errors } = new Validator(schema, "2020-12", false).validate(value);
  const found = new Map<string, Finding>();
  for (const { keyword, instanceLocation, error } of errors) {
    if (FRAMES.has(keyword)) continue;
    const path = pathOf(instanceLocation, value);
    const place = path.join(".");
    // Of the faults of one place the first tells enough; but each property that is missing counts.
    const key = keyword === "required" ? `${place} ${error}` : place;
    if (found.has(key)) continue;
    const range = (keyword === "false" ? nameAt(tree, text, path) : null) ?? rangeAt(tree, text, path);
    found.set(key, { ...range, place, msg: words(keyword, error, schema, path) });
  }
  return [...found.values()];
}

function pathOf(pointer: string, value: unknown): (string | number)[] {
  const path: (string | number)[] = [];
  let at: unknown = value;
  for (const part of pointer.replace(/^#\/?/, "").split("/").filter(Boolean)) {
    const step = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    path.push(Array.isArray(at) ? Number(step) : step);
    at = typeof at === "object" && at !== null ? (at as Record<string, unknown>)[step] : undefined;
  }
  return path;
}

function words(keyword: string, error: string, root: Json, path: Path): string {
  const schemas = schemasAt(root, path);
  const limit = (key: string): string => JSON.stringify(schemas.map((each) => each[key]).find((each) => each !== undefined));
  switch (keyword) {
    case "false": return `is not a known field; known are: ${propertiesOf(root, schemasAt(root, path.slice(0, -1))).map((each) => each.name).join(", ")}`;
    case "required": return `${/"(.*)"/s.exec(error)?.[1] ?? "something"} is required`;
    case "type":
    case "anyOf": return `must be ${[...new Set(schemas.map((each) => each["type"]).filter((each) => typeof each === "string"))].join(" or ")}`;
    case "enum": return `must be one of ${valuesOf(schemas).map((each) => String(each)).join(", ")}`;
    case "const": return `must be ${JSON.stringify(schemas.map((each) => each["const"]).find((each) => each !== undefined))}`;
    case "minLength": return limit("minLength") === "1" ? "must not be empty" : `must have at least ${limit("minLength")} characters`;
    case "maxLength": return `must have at most ${limit("maxLength")} characters`;
    case "minimum": return `must be at least ${limit("minimum")}`;
    case "maximum": return `must be at most ${limit("maximum")}`;
    case "exclusiveMinimum": return `must be more than ${limit("exclusiveMinimum")}`;
    case "pattern": {
      const example = schemas.flatMap((each) => (Array.isArray(each["examples"]) ? (each["examples"] as unknown[]) : []))[0];
      return typeof example === "string" ? `does not have the right form, such as ${example}` : "does not have the right form";
    }
    default: return error;
  }
}

function inexact(tree: Tree, text: string): Finding[] {
  const found: Finding[] = [];
  const cursor = tree.cursor();
  do {
    if (cursor.name !== "Number") continue;
    const written = text.slice(cursor.from, cursor.to);
    if (!/^-?\d{16,}$/.test(written) || BigInt(written) === BigInt(Number(written))) continue;
    found.push({ from: cursor.from, to: cursor.to, place: "", msg: `the browser would keep ${written} as ${Number(written)}: write it as a string, or save it with the API` });
  } while (cursor.next());
  return found;
}

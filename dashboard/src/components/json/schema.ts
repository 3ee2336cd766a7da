/** What a JSON Schema (2020-12) allows at a place of a value: as much as completion needs. */

export type Json = Record<string, unknown>;
export type Path = readonly (string | number)[];

/** Every schema that applies at `path` below `schema`. */
export function schemasAt(root: Json, path: Path): Json[] {
  return path.reduce<Json[]>((found, step) => found.flatMap((each) => below(root, each, step)), resolved(root, root));
}

function below(root: Json, schema: Json, step: string | number): Json[] {
  if (typeof step === "number") return resolved(root, schema["items"]);
  const properties = object(schema["properties"]);
  if (properties && Object.hasOwn(properties, step)) return resolved(root, properties[step]);
  return resolved(root, schema["additionalProperties"]);
}

/** The schema behind references and alternatives. References that turn in circles end. */
function resolved(root: Json, schema: unknown, depth = 0): Json[] {
  const found = object(schema);
  if (!found || depth > 20) return [];
  if (typeof found["$ref"] === "string") return resolved(root, target(root, found["$ref"]), depth + 1);
  const choices = [found["anyOf"], found["oneOf"], found["allOf"]].flatMap((each) => (Array.isArray(each) ? (each as unknown[]) : []));
  return [found, ...choices.flatMap((each) => resolved(root, each, depth + 1))];
}

function target(root: Json, reference: string): unknown {
  return reference.replace(/^#\/?/, "").split("/").filter(Boolean)
    .reduce<unknown>((found, step) => object(found)?.[step.replaceAll("~1", "/").replaceAll("~0", "~")], root);
}

/** A property that an object at this place may have. */
export interface Property {
  name: string;
  detail: string;
  info: string;
  required: boolean;
  schemas: Json[];
}

export function propertiesOf(root: Json, schemas: readonly Json[]): Property[] {
  const found = new Map<string, Property>();
  for (const schema of schemas) {
    const required = Array.isArray(schema["required"]) ? schema["required"] : [];
    for (const [name, property] of Object.entries(object(schema["properties"]) ?? {})) {
      const inner = resolved(root, property);
      found.set(name, { name, detail: typeWords(inner), info: textOf(inner, "description"), required: required.includes(name), schemas: inner });
    }
  }
  return [...found.values()];
}

/** Values that may stand here: those of a list, or those that are given as default and example. */
export function valuesOf(schemas: readonly Json[]): unknown[] {
  const found = schemas.flatMap((each) => [
    ...("const" in each ? [each["const"]] : []),
    ...(Array.isArray(each["enum"]) ? (each["enum"] as unknown[]) : []),
    ...(each["type"] === "boolean" ? [true, false] : []),
    ...(each["type"] === "null" ? [null] : []),
    ...("default" in each ? [each["default"]] : []),
    ...(Array.isArray(each["examples"]) ? (each["examples"] as unknown[]) : []),
  ]);
  return [...new Map(found.map((value) => [JSON.stringify(value), value])).values()];
}

/** What a new value of this kind begins as, and where the cursor goes in it. */
export function beginning(schemas: readonly Json[]): { text: string; cursor: number } {
  const types = schemas.map((each) => each["type"]);
  const [first] = schemas.flatMap((each) => ("const" in each ? [each["const"]] : "default" in each ? [each["default"]] : []));
  if (types.includes("object")) return { text: "{}", cursor: 1 };
  if (types.includes("array")) return { text: "[]", cursor: 1 };
  if (first !== undefined && first !== null) return { text: JSON.stringify(first), cursor: JSON.stringify(first).length };
  if (types.includes("string")) return { text: '""', cursor: 1 };
  return { text: "", cursor: 0 };
}

function typeWords(schemas: readonly Json[]): string {
  const choices = schemas.flatMap((each) => (Array.isArray(each["enum"]) ? (each["enum"] as unknown[]) : []));
  if (choices.length > 0) return choices.map((each) => (typeof each === "string" ? each : JSON.stringify(each))).join(" | ");
  return [...new Set(schemas.map((each) => each["type"]).filter((each) => typeof each === "string"))].join(" | ");
}

function textOf(schemas: readonly Json[], key: string): string {
  return schemas.map((each) => each[key]).find((each) => typeof each === "string") ?? "";
}

function object(value: unknown): Json | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : null;
}

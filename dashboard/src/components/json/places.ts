/** Where in a JSON text a value stands. */

import { jsonLanguage } from "@codemirror/lang-json";

import type { Path } from "./schema";

export type Tree = ReturnType<typeof jsonLanguage.parser.parse>;
export type Node = Tree["topNode"];

export const parse = (text: string): Tree => jsonLanguage.parser.parse(text);

export interface Range {
  from: number;
  to: number;
}

/** The range of the value at `path`, or of the deepest one on the way to it that is there; of what holds others, its first character. */
export function rangeAt(tree: Tree, text: string, path: Path): Range {
  let node = tree.topNode.firstChild ?? tree.topNode;
  for (const step of path) {
    const next = typeof step === "number" ? element(node, step) : property(node, text, step)?.lastChild;
    if (!next) break;
    node = next;
  }
  const holds = node.name === "Object" || node.name === "Array";
  return { from: node.from, to: holds ? Math.min(node.from + 1, text.length) : node.to };
}

/** The range of the name of a property. */
export function nameAt(tree: Tree, text: string, path: Path): Range | null {
  const parent = path.slice(0, -1).reduce<Node | null>(
    (node, step) => (node ? (typeof step === "number" ? element(node, step) : (property(node, text, step)?.lastChild ?? null)) : null),
    tree.topNode.firstChild,
  );
  const name = parent ? property(parent, text, String(path.at(-1)))?.firstChild : null;
  return name ? { from: name.from, to: name.to } : null;
}

/** The path of the object, array or value around a node. */
export function pathOf(node: Node, text: string): (string | number)[] {
  const path: (string | number)[] = [];
  for (let at = node; at.parent; at = at.parent) {
    if (at.parent.name === "Property" && at.name !== "PropertyName") path.unshift(nameOf(at.parent, text));
    else if (at.parent.name === "Array" && isValue(at)) path.unshift(valuesIn(at.parent).findIndex((each) => each.from === at.from));
  }
  return path;
}

/** The names that an object has already. */
export function namesIn(node: Node, text: string): Set<string> {
  return new Set(node.getChildren("Property").map((each) => nameOf(each, text)));
}

const VALUES = new Set(["Object", "Array", "String", "Number", "True", "False", "Null"]);

function isValue(node: Node): boolean {
  return VALUES.has(node.name);
}

function valuesIn(array: Node): Node[] {
  const found: Node[] = [];
  for (let child = array.firstChild; child; child = child.nextSibling) if (isValue(child)) found.push(child);
  return found;
}

function element(node: Node, index: number): Node | null {
  return node.name === "Array" ? (valuesIn(node)[index] ?? null) : null;
}

function property(node: Node, text: string, name: string): Node | null {
  return node.name === "Object" ? (node.getChildren("Property").find((each) => nameOf(each, text) === name) ?? null) : null;
}

/** The name of a property. */
export function nameOf(node: Node, text: string): string {
  const name = node.getChild("PropertyName");
  const quoted = name ? text.slice(name.from, name.to) : '""';
  try {
    return String(JSON.parse(quoted));
  } catch {
    return quoted;
  }
}

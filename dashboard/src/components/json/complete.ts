/** Completion from a schema: names of properties, values, and what a template can name. */

import type { Completion, CompletionContext, CompletionResult, CompletionSource } from "@codemirror/autocomplete";
import { syntaxTree } from "@codemirror/language";
import type { EditorView } from "@codemirror/view";

import { nameOf, namesIn, pathOf, type Node } from "./places";
import { beginning, propertiesOf, schemasAt, valuesOf, type Json, type Property } from "./schema";

/** Something that stands between `{{` and `}}`. */
export interface TemplateName {
  name: string;
  info: string;
}

/** Nothing for a value that the schema knows nothing of. */
export function schemaCompletion(schema: Json | undefined, names: readonly TemplateName[]): CompletionSource {
  return (context) => {
    const text = context.state.doc.toString();
    const node = syntaxTree(context.state).resolveInner(context.pos, -1);
    if (node.name === "String") {
      const template = inTemplate(context, node, names);
      if (template) return template;
    }
    if (!schema) return null;
    if (node.name === "PropertyName") return propertyNames(context, text, schema, around(node, "Object"), node);
    const property = around(node, "Property");
    const object = around(node, "Object");
    const name = property?.getChild("PropertyName");
    // Inside a property, behind its name: its value.
    if (property && name && (!object || property.from >= object.from) && context.pos > name.to) return values(context, text, schema, property, node);
    return object && object.from < context.pos ? propertyNames(context, text, schema, object, null) : null;
  };
}

function around(node: Node, name: string): Node | null {
  for (let at: Node | null = node; at; at = at.parent) if (at.name === name) return at;
  return null;
}

function inTemplate(context: CompletionContext, node: Node, names: readonly TemplateName[]): CompletionResult | null {
  const before = context.state.sliceDoc(node.from, context.pos);
  const open = /\{[{%][^{}%]*?([A-Za-z_][\w.]*)?$/.exec(before);
  if (!open) return null;
  return { from: context.pos - (open[1]?.length ?? 0), options: names.map(({ name, info }) => ({ label: name, info, type: "variable" })), validFor: /^[\w.]*$/ };
}

function propertyNames(context: CompletionContext, text: string, schema: Json, object: Node | null, name: Node | null): CompletionResult | null {
  const typed = name ?? context.matchBefore(/\w+/);
  if (!object || (!typed && !context.explicit)) return null;
  const there = namesIn(object, text);
  if (name?.parent) there.delete(nameOf(name.parent, text));
  const free = propertiesOf(schema, schemasAt(schema, pathOf(object, text))).filter((each) => !there.has(each.name));
  if (free.length === 0) return null;
  const valued = name !== null && /^\s*:/.test(text.slice(name.to));
  return { from: typed?.from ?? context.pos, to: name?.to ?? context.pos, options: free.map((each) => propertyOption(each, valued)), filter: true };
}

function propertyOption(property: Property, valued: boolean): Completion {
  const quoted = JSON.stringify(property.name);
  const { text, cursor } = beginning(property.schemas);
  return {
    label: quoted,
    displayLabel: property.name,
    detail: property.required ? `${property.detail}, required` : property.detail,
    ...(property.info ? { info: property.info } : {}),
    type: "property",
    boost: property.required ? 1 : 0,
    apply: (view, _, from, to) => { insert(view, from, to, valued ? quoted : `${quoted}: ${text}`, valued ? quoted.length : quoted.length + 2 + cursor); },
  };
}

function values(context: CompletionContext, text: string, schema: Json, property: Node, node: Node): CompletionResult | null {
  const value = ["String", "Number", "True", "False", "Null"].includes(node.name) ? node : null;
  const typed = value ?? context.matchBefore(/\w+/);
  const owner = around(property, "Object");
  if (!owner) return null;
  const known = valuesOf(schemasAt(schema, [...pathOf(owner, text), nameOf(property, text)]));
  if (known.length === 0 || (!typed && !context.explicit)) return null;
  return {
    from: typed?.from ?? context.pos,
    to: value?.to ?? context.pos,
    options: known.map((each) => ({
      label: JSON.stringify(each),
      type: "enum",
      apply: (view, _, from, to) => { insert(view, from, to, JSON.stringify(each), JSON.stringify(each).length); },
    })),
  };
}

function insert(view: EditorView, from: number, to: number, text: string, cursor: number): void {
  view.dispatch({ changes: { from, to, insert: text }, selection: { anchor: from + cursor }, userEvent: "input.complete" });
}

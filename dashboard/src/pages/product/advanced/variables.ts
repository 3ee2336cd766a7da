/** Name, description and variables of a product as a form. */

import type { Product } from "~/api/types";

export interface Variable {
  /** Tells rows apart while their names are edited. */
  key: string;
  name: string;
  value: string;
}

export interface ProductForm {
  name: string;
  description: string;
  variables: Variable[];
}

/** What is sent: only what was changed, so that nothing else is undone. */
export interface ProductChange {
  name?: string;
  description?: string;
  variables?: Record<string, string>;
}

export function formOf({ name, description, variables }: Pick<Product, "name" | "description" | "variables">): ProductForm {
  const rows = Object.entries(variables ?? {}).sort(([a], [b]) => a.localeCompare(b));
  return { name, description, variables: rows.map(([each, value]) => ({ key: each, name: each, value })) };
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,99}$/;

/** What is wrong, by field, in the words of the form: `variables.0.name`. */
export function faultsOf({ name, description, variables }: ProductForm): Record<string, string> {
  const found: Record<string, string> = {};
  const trimmed = name.trim();
  if (trimmed === "") found["name"] = "Give it a name";
  if (trimmed.length > 100) found["name"] = "At most 100 characters";
  if (description.length > 1000) found["description"] = "At most 1,000 characters";
  variables.forEach((each, index) => {
    if (!NAME.test(each.name)) found[`variables.${index}.name`] = "Letters, digits and _, not a digit first";
    else if (variables.findIndex((other) => other.name === each.name) < index) found[`variables.${index}.name`] = "Another variable has this name";
    if (each.value.length > 255) found[`variables.${index}.value`] = "At most 255 characters";
  });
  return found;
}

export function changeOf(base: ProductForm, form: ProductForm): ProductChange {
  const [old, now] = [flat(base), flat({ ...form, name: form.name.trim() })];
  const variables = Object.fromEntries(form.variables.map((each) => [each.name, each.value]));
  const changed = new Set([...Object.keys(old), ...Object.keys(now)].filter((each) => old[each] !== now[each]));
  return {
    ...(changed.delete("name") ? { name: form.name.trim() } : {}),
    ...(changed.delete("description") ? { description: form.description } : {}),
    ...(changed.size > 0 ? { variables } : {}),
  };
}

export function isChange(change: ProductChange): boolean {
  return Object.keys(change).length > 0;
}

const OF_VARIABLE = "Variable ";

/** One text for each field; a variable that is not there has none. */
export function flat(form: ProductForm): Record<string, string> {
  const variables = form.variables.map((each) => [OF_VARIABLE + each.name, each.value]);
  return { name: form.name, description: form.description, ...(Object.fromEntries(variables) as Record<string, string>) };
}

/** Mine, with the fields in `taken` as theirs has them: also without those that theirs has not. */
export function taking(mine: ProductForm, theirs: ProductForm, taken: ReadonlySet<string>): ProductForm {
  const [fields, other] = [flat(mine), flat(theirs)];
  const chosen = Object.fromEntries(
    [...new Set([...Object.keys(fields), ...Object.keys(other)])].flatMap((field) => {
      const value = taken.has(field) ? other[field] : fields[field];
      return value === undefined ? [] : [[field, value]];
    }),
  );
  const { name = "", description = "", ...variables } = chosen;
  const named = Object.entries(variables).map(([field, value]) => [field.slice(OF_VARIABLE.length), value]);
  return formOf({ name, description, variables: Object.fromEntries(named) as Record<string, string> });
}

/** Field of the form for the place of a fault of the service: `variables.region` is the value in its row. */
export function fieldAt(form: ProductForm, loc: string): string {
  const [part, ...rest] = loc.split(".");
  if (part !== "variables") return part ?? "";
  const index = form.variables.findIndex((each) => each.name === rest.join("."));
  return index < 0 ? "" : `variables.${index}.value`;
}

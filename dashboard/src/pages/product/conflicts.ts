/** Two versions of one form, when somebody else saved while it was edited. */

/** A field that stands otherwise in two versions, each as text. */
export interface Conflict {
  field: string;
  mine: string;
  theirs: string;
  /** I did not touch it: theirs is what I would want. */
  untouched: boolean;
}

/** Where my version differs from theirs; both came from `base`. */
export function differences<Form, Field extends string>(
  fields: readonly Field[], shown: (form: Form, field: Field) => string, base: Form, mine: Form, theirs: Form,
): Conflict[] {
  return fields
    .map((field) => ({ field, mine: shown(mine, field), theirs: shown(theirs, field), untouched: shown(mine, field) === shown(base, field) }))
    .filter((each) => each.mine !== each.theirs);
}

/** My version, with the fields in `taken` from theirs. */
export function merged<Form extends object>(mine: Form, theirs: Form, taken: ReadonlySet<string>): Form {
  return { ...mine, ...Object.fromEntries(Object.entries(theirs).filter(([field]) => taken.has(field))) };
}

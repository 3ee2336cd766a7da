/** MQTT topic filters as the service makes and checks them (shared/mqtt_shared/topics.py). */

const VARIABLE = /\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

/** The names in braces, each once. */
export function variables(template: string): string[] {
  return [...new Set([...template.matchAll(VARIABLE)].map(([, name = ""]) => name))];
}

/** Values in place of `{name}`; one without a value stays in its braces. */
export function fill(template: string, values: Readonly<Record<string, string>>): string {
  return template.replaceAll(VARIABLE, (whole, name: string) => (Object.hasOwn(values, name) ? (values[name] ?? whole) : whole));
}

/** The topic of a subscription that has none of its own. */
export function derive(prefix: string, pattern: string, name: string): string {
  return `${prefix}/${pattern}/${name.replaceAll("_", "-")}`;
}

/** The filter of a shared subscription; a leading `/` of the topic stays. */
export function shared(topic: string, group: string | null): string {
  return group ? `$share/${group}/${topic}` : topic;
}

/** What is wrong with a filter that may contain variables; null when it is well formed. */
export function fault(template: string): string | null {
  if (template === "") return "Enter a topic";
  if (template.includes("\0")) return "Without the NUL character";
  if (/[{}]/.test(template.replaceAll(VARIABLE, ""))) return "A brace belongs to no {variable}; a name has letters, digits and _";
  const levels = template.split("/");
  if (levels.some((each) => each.includes("#") && each !== "#")) return "# stands alone in its level";
  if (levels.slice(0, -1).includes("#")) return "# is the last level only";
  if (levels.some((each) => each.includes("+") && each !== "+")) return "+ stands alone in its level";
  return null;
}

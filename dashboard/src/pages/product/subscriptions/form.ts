/** A subscription as a form: from the API, checked as the API does, and back. */

import type { ActionInput, Subscription, SubscriptionDraft, SubscriptionPatch, Topics } from "~/api/types";
import { derive, fault, fill, shared, variables } from "~/lib/topics";

import { differences, type Conflict } from "../conflicts";
import { actionOf, draftOf, type ActionDraft } from "./actions/drafts";

export interface SubscriptionForm {
  name: string;
  /** The topic follows prefix, pattern and name; otherwise it is `topic`. */
  derived: boolean;
  topic: string;
  enabled: boolean;
  description: string;
  concurrency: number | string;
  actions: ActionDraft[];
}

export type Field = keyof SubscriptionForm;

export const LABELS: Record<Field, string> = {
  name: "Name", derived: "Topic", topic: "Topic filter", enabled: "On", description: "Description",
  concurrency: "Topics side by side", actions: "Actions",
};
const NEW: SubscriptionForm = { name: "", derived: true, topic: "", enabled: true, description: "", concurrency: 16, actions: [] };
const MOST_ACTIONS = 50;

/** What the form is filled with; null: a new subscription. */
export function formOf(subscription: Subscription | null): SubscriptionForm {
  if (!subscription) return NEW;
  const { name, topic, topic_derived, enabled, description, concurrency, actions } = subscription;
  return { name, derived: topic_derived, topic: topic_derived ? "" : topic, enabled, description, concurrency, actions: actions.map(draftOf) };
}

/** A copy under a name that is free. It is off: two that are on would both handle each message. */
export function copyOf(subscription: Subscription, taken: ReadonlySet<string>): SubscriptionForm {
  const stem = subscription.name.slice(0, 90);
  let name = `${stem}_copy`;
  for (let number = 2; taken.has(name); number += 1) name = `${stem}_copy_${number}`;
  return { ...formOf(subscription), name, enabled: false };
}

/** What is sent; the actions must be valid JSON, which `faultsOf` tells. */
export function inputOf(form: SubscriptionForm): Required<Omit<SubscriptionDraft, "id">> {
  const { name, derived, topic, enabled, description, concurrency, actions } = form;
  return {
    name, topic: derived ? null : topic, enabled, description, concurrency: Number(concurrency),
    // Whatever is in them: the service checks.
    actions: actions.map(({ text }) => actionOf(text) ?? {}) as unknown as ActionInput[],
  };
}

/** What has changed since `base`: what nobody touched is not sent. */
export function patchOf(base: SubscriptionForm, form: SubscriptionForm): SubscriptionPatch {
  const [before, after] = [inputOf(base), inputOf(form)];
  return Object.fromEntries(Object.entries(after).filter(([field, value]) => JSON.stringify(value) !== JSON.stringify(before[field as keyof typeof before])));
}

/** Do both say the same? How their JSON is laid out does not count. */
export function same(one: SubscriptionForm, other: SubscriptionForm): boolean {
  return differences(COMPARED, shown, one, other, one).length === 0;
}

/** What is wrong, by field; the service checks again, and more. */
export function faultsOf(form: SubscriptionForm): Partial<Record<Field, string>> {
  const found: Partial<Record<Field, string>> = {};
  const check = (field: Field, text: string | false | null): void => {
    if (text) found[field] ??= text;
  };
  check("name", form.name === "" && "Enter a name");
  check("name", !/^[a-z][a-z0-9_]*$/.test(form.name) && "Lower-case letters, digits and _, a letter first");
  check("name", form.name.length > 100 && "At most 100 characters");
  check("topic", !form.derived && fault(form.topic));
  check("topic", !form.derived && form.topic.length > 512 && "At most 512 characters");
  check("description", form.description.length > 1000 && "At most 1000 characters");
  const side = typeof form.concurrency === "number" ? form.concurrency : NaN;
  check("concurrency", !(Number.isInteger(side) && side >= 1 && side <= 1000) && "A whole number from 1 to 1000");
  check("actions", form.actions.length > MOST_ACTIONS && `At most ${MOST_ACTIONS} actions`);
  check("actions", form.actions.some(({ text }) => !actionOf(text)) && "An action is not a JSON object yet");
  return found;
}

/** The filter as instances subscribe it, and the variables in it that the product has no value for. */
export interface EffectiveFilter {
  filter: string;
  unknown: string[];
}

export function effectiveFilter(form: SubscriptionForm, topics: Topics, values: Readonly<Record<string, string>>): EffectiveFilter {
  const template = form.derived ? derive(topics.prefix, topics.pattern, form.name || "…") : form.topic;
  return {
    filter: shared(fill(template, values), topics.use_shared ? topics.shared_group : null),
    unknown: variables(template).filter((name) => !Object.hasOwn(values, name)),
  };
}

/** A topic that the filter matches; empty where that takes a wildcard or a variable that is not known. */
export function exampleTopic(form: SubscriptionForm, topics: Topics | undefined, values: Readonly<Record<string, string>>): string {
  if (!topics || (form.derived && form.name === "")) return "";
  const topic = fill(form.derived ? derive(topics.prefix, topics.pattern, form.name) : form.topic, values);
  return /[+#{}]/.test(topic) ? "" : topic;
}

const COMPARED = ["name", "topic", "enabled", "description", "concurrency", "actions"] as const satisfies readonly Field[];

/** Where my version differs from theirs; both came from `base`. */
export function conflicts(base: SubscriptionForm, mine: SubscriptionForm, theirs: SubscriptionForm): Conflict[] {
  return differences(COMPARED, shown, base, mine, theirs);
}

/** The fields of the form behind those that were chosen. */
export function chosen(taken: ReadonlySet<string>): Set<string> {
  return taken.has("topic") ? new Set([...taken, "derived"]) : new Set(taken);
}

function shown(form: SubscriptionForm, field: Field): string {
  switch (field) {
    case "topic": return form.derived ? "derived" : form.topic;
    case "enabled": return form.enabled ? "on" : "off";
    case "actions": return form.actions.length === 0 ? "none" : form.actions.map(({ text }) => laidOut(text)).join("\n");
    default: return String(form[field]) || "none";
  }
}

function laidOut(text: string): string {
  const value = actionOf(text);
  return value ? JSON.stringify(value, null, 2) : text;
}

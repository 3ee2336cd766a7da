import type { Effect, RolloutCounts } from "~/api/types";
import { count } from "~/lib/format";

/** How far a revision has come, in a few words. */
export function rolloutWords(rollout: RolloutCounts): { text: string; tone: "good" | "warn" | "bad" | "idle" } {
  const { desired_revision, published_revision, total, applied, rejected, pending, drifted, complete } = rollout;
  if (desired_revision === 0) return { text: "no configuration yet", tone: "idle" };
  if (rejected > 0) return { text: `${count(rejected, "instance")} rejected it`, tone: "bad" };
  if (drifted > 0) return { text: `${count(drifted, "instance")} drifted`, tone: "warn" };
  if (published_revision < desired_revision) return { text: "on its way", tone: "warn" };
  if (total === 0) return { text: "published; no live instance", tone: "idle" };
  if (!complete || pending > 0) return { text: `on ${applied} of ${count(total, "instance")}`, tone: "warn" };
  return { text: `on ${total === 1 ? "the instance" : `all ${count(total, "instance")}`}`, tone: "good" };
}

const CONNECTION = {
  keep: "no reconnect",
  open: "each opens a connection",
  replace: "each makes a new connection before it gives up the old one",
  take_over: "each reconnects under its client id",
  close: "each closes its connection",
} as const;

/** What a change means for running instances, as a sentence. */
export function effectWords(effect: Effect): string {
  const { connection, added = [], removed = [], resubscribed = [], actions_changed = [], secrets_changed = [] } = effect;
  const parts = [
    sentence(resubscribed, "subscription", "resubscribe"),
    sentence(added, "subscription", "begin"),
    sentence(removed, "subscription", "end"),
    actions_changed.length ? `actions of ${count(actions_changed.length, "subscription")} change in memory` : "",
    secrets_changed.length ? `${sentence(secrets_changed, "secret", "change")} in memory` : "",
  ].filter((each) => each !== "");
  if (parts.length === 0 && connection === "keep") return "Nothing changes for running instances.";
  const live = effect.live_instances;
  const where = live === 0 ? "no instance is live now" : `on ${count(live, "instance")}`;
  const what = parts.length > 0 ? `${parts.join(", ")} ${live === 0 ? `(${where})` : where}` : capitalized(where);
  return `${what}${parts.length > 0 || live === 0 ? ";" : ":"} ${CONNECTION[connection]}.`;
}

function sentence({ length }: readonly string[], one: string, verb: string): string {
  return length === 0 ? "" : `${count(length, one)} ${verb}${length === 1 ? "s" : ""}`;
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

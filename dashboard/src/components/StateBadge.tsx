import {
  IconAlertTriangleFilled, IconCircleCheckFilled, IconCircleDashed, IconCircleXFilled, IconMoon2, type Icon,
} from "@tabler/icons-react";

import type { ProductState } from "~/api/types";

import classes from "./StateBadge.module.css";

interface Look {
  words: string;
  tone: "good" | "warn" | "bad" | "idle";
  icon: Icon;
}

export const STATES: Record<ProductState, Look> = {
  healthy: { words: "Healthy", tone: "good", icon: IconCircleCheckFilled },
  degraded: { words: "Degraded", tone: "warn", icon: IconAlertTriangleFilled },
  disconnected: { words: "Disconnected", tone: "bad", icon: IconCircleXFilled },
  no_instances: { words: "No instances", tone: "idle", icon: IconMoon2 },
  not_configured: { words: "Not configured", tone: "idle", icon: IconCircleDashed },
};

/** A state in words, with icon and colour: never colour alone. */
export function StateBadge({ state }: { state: ProductState }) {
  const { words, tone, icon } = STATES[state];
  return <ToneBadge tone={tone} icon={icon}>{words}</ToneBadge>;
}

/** The same looks for any other state. */
export function ToneBadge({ tone, icon: Icon, children }: { tone: Look["tone"]; icon: Icon; children: string }) {
  return (
    <span className={`${classes.badge ?? ""} ${tone}`}>
      <Icon size={16} aria-hidden />
      {children}
    </span>
  );
}

import { IconPlugConnectedX } from "@tabler/icons-react";

import { timeOfDay } from "~/lib/format";
import { useLive } from "~/live/LiveProvider";

import classes from "./StaleBanner.module.css";

/** Says since when what the page shows is old, while the stream is broken. Lies over the page: nothing jumps. */
export function StaleBanner() {
  const { staleSince } = useLive();
  return (
    <div role="status" className={classes.place}>
      {staleSince === null ? null : (
        <div className={classes.banner}>
          <IconPlugConnectedX size={18} aria-hidden />
          <span>
            Live updates are interrupted. What you see is from <strong>{timeOfDay(staleSince)}</strong>; the page catches up by itself.
          </span>
        </div>
      )}
    </div>
  );
}

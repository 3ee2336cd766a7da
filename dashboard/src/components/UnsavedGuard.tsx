import { useBlocker } from "@tanstack/react-router";

import { LeaveQuestion } from "./LeaveQuestion";

/** Asks before changes that were not saved are lost, by a link or by closing the page. */
export function UnsavedGuard({ dirty }: { dirty: boolean }) {
  const blocker = useBlocker({ shouldBlockFn: () => dirty, enableBeforeUnload: () => dirty, withResolver: true, disabled: !dirty });
  return blocker.status === "blocked" ? <LeaveQuestion onStay={blocker.reset} onLeave={blocker.proceed} /> : null;
}

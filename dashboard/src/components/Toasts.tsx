import { Notifications, notifications } from "@mantine/notifications";
import { useWindowEvent } from "@mantine/hooks";

/** Short messages in a corner; Escape takes them away where no dialog is open. */
export function Toasts() {
  useWindowEvent("keydown", ({ key }) => {
    if (key === "Escape" && !document.querySelector("[role=dialog]")) notifications.clean();
  });
  return <Notifications position="bottom-right" autoClose={6000} limit={3} />;
}

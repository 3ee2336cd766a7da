import { Modal, type ModalProps } from "@mantine/core";

import { useFocusBack } from "./useFocusBack";

/** A dialog that is open as long as it is there. */
export function Dialog(props: Omit<ModalProps, "opened">) {
  useFocusBack();
  return <Modal opened {...props} />;
}

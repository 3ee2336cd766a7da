import { Modal, type ModalProps } from "@mantine/core";
import { useState } from "react";

import { LeaveQuestion } from "./LeaveQuestion";
import { useFocusBack } from "./useFocusBack";

interface Props extends Omit<ModalProps, "opened"> {
  /** Something was entered: only Cancel loses it without a question. */
  dirty?: boolean;
}

/** A dialog that is open as long as it is there. */
export function Dialog({ dirty = false, onClose, ...props }: Props) {
  useFocusBack();
  const [asking, setAsking] = useState(false);
  return (
    <>
      <Modal
        opened
        onClose={dirty ? () => { setAsking(true); } : onClose}
        {...(dirty ? { closeOnClickOutside: false } : {})}
        {...(asking ? { closeOnEscape: false } : {})}
        {...props}
      />
      {asking ? <LeaveQuestion onStay={() => { setAsking(false); }} onLeave={onClose} /> : null}
    </>
  );
}

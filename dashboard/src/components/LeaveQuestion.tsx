import { Button, Group, Modal, Text } from "@mantine/core";

import { useFocusBack } from "./useFocusBack";

/** Asks whether what was entered may be lost; there only as long as it asks. */
export function LeaveQuestion({ onStay, onLeave }: { onStay: () => void; onLeave: () => void }) {
  useFocusBack();
  return (
    <Modal opened onClose={onStay} title="Leave without saving?">
      <Text>Your changes are not saved. They are lost when you leave.</Text>
      <Group justify="flex-end" mt="lg">
        <Button variant="default" onClick={onStay} data-autofocus>Stay</Button>
        <Button color="red" onClick={onLeave}>Leave and lose them</Button>
      </Group>
    </Modal>
  );
}

import { Alert, Button, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { useState } from "react";

import { words } from "~/api/problem";
import type { Subscription } from "~/api/types";

import { useRemove } from "./writes";

interface Props {
  productId: number;
  revision: number | null;
  subscription: Subscription;
  onClose: () => void;
  onDeleted?: () => void;
}

/** Deletes a subscription once its name is typed. */
export function DeleteDialog({ productId, revision, subscription, onClose, onDeleted = onClose }: Props) {
  const [typed, setTyped] = useState("");
  const remove = useRemove(productId);
  return (
    <Modal opened onClose={onClose} title={`Delete ${subscription.name}?`}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (typed === subscription.name) remove.mutate({ id: subscription.id, revision }, { onSuccess: onDeleted });
        }}
      >
        <Stack>
          <Text>Instances unsubscribe <code>{subscription.topic_filter}</code> and run none of its actions any more. Its counts go too.</Text>
          <TextInput data-autofocus label={`Type ${subscription.name} to confirm`} value={typed} autoComplete="off"
            onChange={(event) => { setTyped(event.currentTarget.value); }} />
          {remove.error ? <Alert color="red" role="alert" title="It was not deleted">{words(remove.error)}</Alert> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>Cancel</Button>
            <Button color="red" type="submit" disabled={typed !== subscription.name} loading={remove.isPending}>Delete</Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

import { Button, Group, Stack, TextInput } from "@mantine/core";
import { useState, type ReactNode } from "react";

import { Dialog } from "./Dialog";
import { Failure } from "./Failure";

interface Props {
  title: string;
  /** What has to be typed. */
  name: string;
  /** What it means. */
  children: ReactNode;
  action: string;
  /** It cannot be done, or what it means is not known yet. */
  disabled?: boolean;
  loading: boolean;
  error: unknown;
  onConfirm: () => void;
  onClose: () => void;
}

/** Does what cannot be taken back only once its name is typed. */
export function ConfirmByName({ title, name, children, action, disabled = false, loading, error, onConfirm, onClose }: Props) {
  const [typed, setTyped] = useState("");
  const ready = typed === name && !disabled;
  return (
    <Dialog onClose={onClose} title={title} size="lg">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) onConfirm();
        }}
      >
        <Stack>
          {children}
          <TextInput data-autofocus label={`Type ${name} to confirm`} value={typed} autoComplete="off" onChange={(event) => { setTyped(event.currentTarget.value); }} />
          {error ? <Failure error={error} title="Not done" /> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>Cancel</Button>
            <Button color="red" type="submit" disabled={!ready} loading={loading}>{action}</Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

import { Button, Group, Stack, Switch, Textarea, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, need } from "~/api/client";
import { fieldErrors } from "~/api/problem";
import { keys } from "~/api/queries";
import { Dialog } from "~/components/Dialog";
import { Failure } from "~/components/Failure";
import { focusFirstFault } from "~/lib/focus";

import { effectWords } from "../rollout";
import classes from "./SecretDialog.module.css";

interface Props {
  productId: number;
  /** Null: to be entered. */
  name: string | null;
  /** There is a value of that name already. */
  stored: boolean;
  taken: readonly string[];
  onClose: () => void;
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,99}$/;

/** Stores a secret, or another value of one. */
export function SecretDialog({ productId, name, stored, taken, onClose }: Props) {
  const client = useQueryClient();
  const [shown, setShown] = useState(false);
  const form = useForm({
    initialValues: { name: name ?? "", value: "" },
    validate: {
      name: (each) => !NAME.test(each) ? "Letters, digits and _, not a digit first; at most 100" : name === null && taken.includes(each) ? "There is one of this name already" : null,
      value: (each) => each === "" ? "Enter the value" : each.length > 10_000 ? "At most 10,000 characters" : null,
    },
  });
  const put = useMutation({
    mutationFn: (values: { name: string; value: string }) =>
      need(api.PUT("/api/v1/products/{product_id}/secrets/{name}", { params: { path: { product_id: productId, name: values.name } }, body: { value: values.value } })),
    onSuccess: async ({ secret, effect }) => {
      notifications.show({ color: "green", title: `${secret.name} is stored`, message: effect ? effectWords(effect) : "" });
      // Before the focus goes back: what opened this may be gone with it.
      await client.invalidateQueries({ queryKey: keys.secrets(productId) });
      onClose();
      void client.invalidateQueries({ queryKey: keys.product(productId) });
    },
    onError: (error) => {
      form.setErrors(fieldErrors(error, ["name", "value"]));
      focusFirstFault();
    },
    // A value is kept nowhere once it was sent.
    gcTime: 0,
  });
  const shownAtField = Object.keys(fieldErrors(put.error, ["name", "value"])).some((each) => each !== "");
  return (
    <Dialog onClose={onClose} size="lg" dirty={form.isDirty()} title={name === null ? "New secret" : stored ? `Another value of ${name}` : `Store ${name}`}>
      <form onSubmit={form.onSubmit((values) => { put.mutate(values); }, focusFirstFault)} noValidate autoComplete="off">
        <Stack>
          {name === null ? <TextInput label="Name" placeholder="api_token" data-autofocus {...form.getInputProps("name")} /> : null}
          <Textarea
            label="Value"
            description="It may have several lines. Nobody can read it again."
            autosize
            minRows={2}
            maxRows={8}
            spellCheck={false}
            classNames={{ input: shown ? "" : (classes.hidden ?? "") }}
            data-autofocus={name !== null || undefined}
            {...form.getInputProps("value")}
          />
          <Switch label="Show what I enter" checked={shown} onChange={(event) => { setShown(event.currentTarget.checked); }} />
          {put.error && !shownAtField ? <Failure error={put.error} title="Not stored" /> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>Cancel</Button>
            <Button type="submit" loading={put.isPending}>Store</Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

import { Alert, Button, Group, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, need } from "~/api/client";
import { ApiError, words } from "~/api/problem";
import { keys } from "~/api/queries";
import { ConfirmByName } from "~/components/ConfirmByName";
import { Dialog } from "~/components/Dialog";

/** Deletes a secret that no action refers to. */
export function DeleteSecret({ productId, name, onClose }: { productId: number; name: string; onClose: () => void }) {
  const client = useQueryClient();
  const remove = (dry_run: boolean) =>
    need(api.DELETE("/api/v1/products/{product_id}/secrets/{name}", { params: { path: { product_id: productId, name }, query: { dry_run } } }));
  const preview = useQuery({ queryKey: ["delete-secret", productId, name], queryFn: () => remove(true), gcTime: 0, staleTime: 0 });
  const write = useMutation({
    mutationFn: () => remove(false),
    onSuccess: () => {
      notifications.show({ color: "green", message: `${name} is deleted.` });
      onClose();
      void client.invalidateQueries({ queryKey: keys.product(productId) });
    },
  });
  if (preview.error instanceof ApiError && preview.error.status === 409) {
    return (
      <Dialog onClose={onClose} title={`Delete ${name}?`}>
        <Alert color="orange" role="alert" title="It is in use">{words(preview.error)}</Alert>
        <Group justify="flex-end" mt="md"><Button variant="default" onClick={onClose}>Close</Button></Group>
      </Dialog>
    );
  }
  return (
    <ConfirmByName
      title={`Delete ${name}?`}
      name={name}
      action="Delete"
      disabled={!preview.data}
      loading={write.isPending}
      error={write.error ?? preview.error}
      onConfirm={() => { write.mutate(); }}
      onClose={onClose}
    >
      <Text size="sm">{preview.data ? "No action refers to it. Its value is gone for good: nobody can read it before, and no restore brings it back." : "Asking whether it is in use…"}</Text>
    </ConfirmByName>
  );
}

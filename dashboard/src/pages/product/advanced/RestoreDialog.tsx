import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, ifMatch, need } from "~/api/client";
import { ApiError } from "~/api/problem";
import { keys } from "~/api/queries";
import { Dialog } from "~/components/Dialog";
import { Failure } from "~/components/Failure";
import { integer } from "~/lib/format";

import { EffectPreview } from "../EffectPreview";

/** Says what going back would do, then does it: as a new revision, so that this too can be taken back. */
export function RestoreDialog({ productId, revision, onClose }: { productId: number; revision: number; onClose: () => void }) {
  const client = useQueryClient();
  const restore = (query: { dry_run: boolean }, base?: number | null) =>
    need(api.POST("/api/v1/products/{product_id}/mqtt-config/revisions/{revision}/restore", {
      params: { path: { product_id: productId, revision }, query, header: ifMatch(base) },
    }));
  const preview = useQuery({ queryKey: ["restore", productId, revision], queryFn: () => restore({ dry_run: true }), gcTime: 0, staleTime: 0 });
  const write = useMutation({
    // What was shown is for this revision alone.
    mutationFn: () => restore({ dry_run: false }, preview.data?.revision),
    onSuccess: (written) => {
      notifications.show({ color: "green", title: `Revision ${integer(revision)} is restored`, message: `It is revision ${integer(written.revision ?? 0)} now.` });
      onClose();
      void client.invalidateQueries({ queryKey: keys.product(productId) });
    },
  });
  const moved = write.error instanceof ApiError && write.error.status === 412;
  const again = (): void => {
    write.reset();
    void preview.refetch();
  };
  return (
    <Dialog onClose={onClose} size="lg" title={`Restore revision ${integer(revision)}?`}>
      <Stack>
        <Text size="sm">Broker, topics, variables and subscriptions become what they were. Named secrets stay as they are now.</Text>
        <div role="status">
          {preview.data ? <EffectPreview effect={preview.data.effect} warnings={preview.data.warnings ?? []} />
            : preview.error ? null : <Text size="sm" c="dimmed">Asking what it would mean…</Text>}
        </div>
        {preview.error ? <Failure error={preview.error} title="It cannot be restored" retry={again} /> : null}
        {moved ? (
          <Alert color="orange" role="alert" title="Somebody else has saved meanwhile">
            What is said above is no longer so. <Button mt="sm" size="compact-sm" variant="default" display="block" onClick={again}>Look again</Button>
          </Alert>
        ) : write.error ? <Failure error={write.error} title="Not restored" /> : null}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose} data-autofocus>Cancel</Button>
          <Button disabled={!preview.data || preview.isFetching || moved} loading={write.isPending} onClick={() => { write.mutate(); }}>Restore</Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, need } from "~/api/client";
import { keys, sessionQuery } from "~/api/queries";
import type { ApiToken } from "~/api/types";
import { Dialog } from "~/components/Dialog";
import { Failure } from "~/components/Failure";
import { TimeAgo } from "~/components/TimeAgo";

/** Ends a token, and every session that was begun with it. */
export function RevokeToken({ token, onClose }: { token: ApiToken; onClose: () => void }) {
  const client = useQueryClient();
  const mine = useQuery(sessionQuery).data?.name === token.name;
  const revoke = useMutation({
    mutationFn: () => need(api.DELETE("/api/v1/tokens/{token_id}", { params: { path: { token_id: token.id } } })),
    onSuccess: () => {
      notifications.show({ color: "green", message: `${token.name} is revoked.` });
      onClose();
      void client.invalidateQueries({ queryKey: keys.tokens });
    },
  });
  return (
    <Dialog onClose={onClose} title={`Revoke ${token.name}?`}>
      <Stack>
        <Text size="sm">
          Whoever has this token can do nothing with it any more, and is signed out here. It was last used: <TimeAgo at={token.last_used_at} />. This cannot be taken back.
        </Text>
        {mine ? <Alert color="orange" title="You may have signed in with it">Your own token has this name. If it is this one, you are signed out.</Alert> : null}
        {revoke.error ? <Failure error={revoke.error} title="Not revoked" /> : null}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose} data-autofocus>Cancel</Button>
          <Button color="red" loading={revoke.isPending} onClick={() => { revoke.mutate(); }}>Revoke</Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

import { Button, Group, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation } from "@tanstack/react-query";

import { api, need } from "~/api/client";
import { Dialog } from "~/components/Dialog";
import { Failure } from "~/components/Failure";
import { count, integer } from "~/lib/format";

interface Props {
  productId: number;
  /** One instance; without it all of them. */
  instanceId?: string;
  /** How many live instances there are to answer. */
  live: number;
  onClose: () => void;
}

/** Asks before instances open their connection anew, then tells how many have answered. */
export function ReconnectDialog({ productId, instanceId, live, onClose }: Props) {
  const reconnect = useMutation({
    // How many were live when they were asked: who does not answer may have fallen silent since.
    mutationFn: async (asked: number) => {
      const answer = await need(api.POST("/api/v1/products/{product_id}/mqtt-config/reconnect", {
        params: { path: { product_id: productId } },
        body: { instance_id: instanceId ?? null },
      }));
      return { asked, heard: answer.instances_notified };
    },
    onSuccess: ({ heard, asked }) => {
      const all = heard >= asked;
      notifications.show({
        color: all ? "green" : "orange",
        title: all ? "Reconnecting" : "Not all have answered",
        message: `${integer(heard)} of ${count(asked, "instance")} answered${all ? "" : " in time. Look at the others"}.`,
        autoClose: all ? 6000 : false,
      });
      onClose();
    },
  });
  return (
    <Dialog onClose={onClose} zIndex={400} title={instanceId === undefined ? `Reconnect ${count(live, "live instance")}?` : `Reconnect ${instanceId}?`}>
      <Stack>
        <Text size="sm">
          {instanceId === undefined ? "Each of them closes its connection" : "It closes its connection"} to the broker and opens a new one with the
          same settings. Nothing that is stored changes.
        </Text>
        {reconnect.error ? <Failure error={reconnect.error} title="Not reconnected" /> : null}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>Cancel</Button>
          <Button data-autofocus loading={reconnect.isPending} onClick={() => { reconnect.mutate(live); }}>Reconnect</Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

import { Text } from "@mantine/core";

import type { Subscription } from "~/api/types";
import { ConfirmByName } from "~/components/ConfirmByName";

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
  const remove = useRemove(productId);
  return (
    <ConfirmByName
      title={`Delete ${subscription.name}?`}
      name={subscription.name}
      action="Delete"
      loading={remove.isPending}
      error={remove.error}
      onConfirm={() => { remove.mutate({ id: subscription.id, revision }, { onSuccess: onDeleted }); }}
      onClose={onClose}
    >
      <Text>Instances unsubscribe <code>{subscription.topic_filter}</code> and run none of its actions any more. Its counts go too.</Text>
    </ConfirmByName>
  );
}

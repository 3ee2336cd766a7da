import { useNow } from "./TimeAgo";
import { rateKey, useLive } from "~/live/LiveProvider";
import { IDLE_MS } from "~/live/rates";

interface Of {
  productId: number;
  subscriptionId?: number;
  lastMessageAt: string | null | undefined;
}

/** Messages per second now of a product or one of its subscriptions; null while messages come and two reports were not heard yet. */
export function useRate({ productId, subscriptionId, lastMessageAt }: Of): number | null {
  const { rates } = useLive();
  const now = useNow();
  const isIdle = !lastMessageAt || now - Date.parse(lastMessageAt) > IDLE_MS;
  return rates.of(rateKey(productId, subscriptionId), now) ?? (isIdle ? 0 : null);
}

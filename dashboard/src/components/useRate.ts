import { useNow } from "./TimeAgo";
import { rateKey, useLive } from "~/live/LiveProvider";

/** Messages per second of a product or one of its subscriptions now; null until two reports were heard. */
export function useRate(productId: number, subscriptionId?: number): number | null {
  const { rates } = useLive();
  return rates.of(rateKey(productId, subscriptionId), useNow());
}

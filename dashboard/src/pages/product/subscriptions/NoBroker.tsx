import { EmptyState } from "~/components/EmptyState";
import { LinkButton } from "~/components/links";

/** Where subscriptions would stand, in a product without a broker. */
export function NoBroker({ productId }: { productId: number }) {
  return (
    <EmptyState title="No broker yet" action={<LinkButton to="/products/$productId/broker" params={{ productId }}>Set up the broker</LinkButton>}>
      Subscriptions need a broker to subscribe at.
    </EmptyState>
  );
}

import { EmptyState } from "~/components/EmptyState";
import { LinkButton } from "~/components/links";

export function NotFound() {
  return (
    <EmptyState title="There is no such page" action={<LinkButton to="/">See all products</LinkButton>}>
      The address may be mistyped, or what it led to may be gone.
    </EmptyState>
  );
}

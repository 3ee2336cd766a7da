export function SubscriptionsTab() {
  return null;
}

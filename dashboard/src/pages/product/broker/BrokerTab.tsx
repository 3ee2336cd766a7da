export function BrokerTab() {
  return null;
}

export function AdvancedTab() {
  return null;
}

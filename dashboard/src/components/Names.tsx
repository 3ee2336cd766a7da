import { Text } from "@mantine/core";

import { integer } from "~/lib/format";

const MOST = 3;

/** Some names: the first few, how many more, and all of them on hover. */
export function Names({ names, none = "none" }: { names: readonly string[]; none?: string }) {
  if (names.length === 0) return <Text span inherit c="dimmed">{none}</Text>;
  const rest = names.length - MOST;
  return (
    <Text span inherit lineClamp={2} title={names.join(", ")}>
      {names.slice(0, MOST).join(", ")}{rest > 0 ? ` and ${integer(rest)} more` : ""}
    </Text>
  );
}

/** What templates in the settings of actions can name (docs/reference/actions.md). */

import type { TemplateName } from "~/components/json/complete";

const EVENT: readonly TemplateName[] = [
  { name: "payload", info: "The message: decoded JSON, else its text" },
  { name: "payload_base64", info: "The message in base64, where it is neither JSON nor text" },
  { name: "topic", info: "Where the message was published" },
  { name: "subscription", info: "The name of this subscription" },
  { name: "message_id", info: "The same for each attempt and each redelivery" },
  { name: "received_at", info: "When an instance received it" },
  { name: "qos", info: "0, 1 or 2" },
  { name: "retain", info: "Was it retained?" },
  { name: "product_id", info: "The id of this product" },
  { name: "instance_id", info: "The instance that received it" },
  { name: "revision", info: "The revision in force" },
];

export function templateNames(variables: readonly string[], secrets: readonly string[]): TemplateName[] {
  return [
    ...EVENT,
    ...variables.map((name) => ({ name: `variables.${name}`, info: "A variable of this product" })),
    ...secrets.map((name) => ({ name: `secrets.${name}`, info: "A secret of this product" })),
  ];
}

import { NumberInput, Radio, SimpleGrid, Stack, Switch, Textarea, TextInput } from "@mantine/core";
import type { UseFormReturnType } from "@mantine/form";

import type { Topics } from "~/api/types";

import { EffectiveTopic } from "./EffectiveTopic";
import { effectiveFilter, LABELS, type SubscriptionForm } from "./form";

interface Props {
  form: UseFormReturnType<SubscriptionForm>;
  topics: Topics;
  variables: Readonly<Record<string, string>>;
  readOnly: boolean;
}

/** Everything of a subscription but its actions. */
export function SubscriptionFields({ form, topics, variables, readOnly }: Props) {
  const { derived, enabled } = form.values;
  return (
    <Stack gap="md">
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="lg" verticalSpacing="md">
        <TextInput label={LABELS.name} description="Lower-case letters, digits and _; unique in the product" readOnly={readOnly} autoComplete="off" spellCheck={false}
          {...form.getInputProps("name")} />
        <NumberInput label={LABELS.concurrency} description="How many topics are worked on at once, 1 to 1000; messages of one topic keep their order"
          readOnly={readOnly} min={1} max={1000} allowDecimal={false} hideControls {...form.getInputProps("concurrency")} />
      </SimpleGrid>
      <Textarea label={LABELS.description} description="For people" readOnly={readOnly} autosize minRows={1} maxRows={6} {...form.getInputProps("description")} />
      <Radio.Group label={LABELS.derived} value={derived ? "derived" : "own"} onChange={(value) => { form.setFieldValue("derived", value === "derived"); }} readOnly={readOnly}>
        <Stack gap="xs" mt={6}>
          <Radio value="derived" disabled={readOnly && !derived} label="Made of prefix, pattern and name" description={`${topics.prefix}/${topics.pattern}/name, set on the Broker tab`} />
          <Radio value="own" disabled={readOnly && derived} label="Its own" description="A filter with + and #, and {variables} of the product" />
        </Stack>
      </Radio.Group>
      {derived ? null : (
        <TextInput label={LABELS.topic} placeholder="shop/+/orders" readOnly={readOnly} autoComplete="off" spellCheck={false} styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }} {...form.getInputProps("topic")} />
      )}
      <EffectiveTopic {...effectiveFilter(form.values, topics, variables)} enabled={enabled} />
      <Switch label={LABELS.enabled} description="Off: instances do not subscribe it" disabled={readOnly} {...form.getInputProps("enabled", { type: "checkbox" })} />
    </Stack>
  );
}

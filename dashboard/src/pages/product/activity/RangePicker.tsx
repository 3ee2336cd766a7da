import { Button, Group, NativeSelect, Paper, SegmentedControl, Stack, TextInput } from "@mantine/core";
import { useState, type SyntheticEvent } from "react";

import type { Subscription } from "~/api/types";

import { serviceNow } from "./clock";
import { bounds, localInput, ofAll, rangeFault, RANGE_LABELS, RANGES, type ActivitySearch, type Range } from "./range";

interface Props {
  range: Range;
  search: ActivitySearch;
  subscriptions: readonly Subscription[];
  onSearch: (search: ActivitySearch) => void;
}

/** Which stretch of time, and of which subscription. */
export function RangePicker({ range, search, subscriptions, onSearch }: Props) {
  const [entering, setEntering] = useState(false);
  const custom = entering || range.kind === "between";
  const subscription = search.subscription === undefined ? {} : { subscription: search.subscription };
  const listed = subscriptions.some((each) => each.id === search.subscription);
  return (
    <Stack gap="sm">
      <Group gap="sm" align="end">
        <SegmentedControl
          aria-label="Range"
          value={custom ? "custom" : range.name}
          onChange={(value) => {
            setEntering(value === "custom");
            if (value !== "custom") onSearch({ range: value, ...subscription });
          }}
          data={[...RANGES.map((each) => ({ value: each, label: RANGE_LABELS[each] })), { value: "custom", label: "Custom" }]}
        />
        <NativeSelect
          aria-label="Figures of"
          value={search.subscription ?? ""}
          onChange={({ currentTarget: { value } }) => {
            onSearch(value === "" ? ofAll(search) : { ...search, subscription: Number(value) });
          }}
          data={[
            { value: "", label: "All subscriptions" },
            ...subscriptions.map((each) => ({ value: String(each.id), label: each.name })),
            ...(search.subscription === undefined || listed ? [] : [{ value: String(search.subscription), label: `Subscription ${search.subscription}` }]),
          ]}
        />
      </Group>
      {custom ? <Custom key={`${search.from ?? ""} ${search.to ?? ""}`} range={range} onRange={(between) => { setEntering(false); onSearch({ ...between, ...subscription }); }} /> : null}
    </Stack>
  );
}

function Custom({ range, onRange }: { range: Range; onRange: (between: { from: string; to: string }) => void }) {
  const [at] = useState(() => bounds(range, serviceNow()));
  const [from, setFrom] = useState(() => localInput(at.from));
  const [to, setTo] = useState(() => localInput(at.to));
  const [fault, setFault] = useState<ReturnType<typeof rangeFault>>(null);
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    const found = rangeFault(from, to, serviceNow());
    setFault(found);
    if (!found) onRange({ from: new Date(from).toISOString(), to: new Date(to).toISOString() });
  };
  return (
    <Paper withBorder p="sm" component="form" noValidate onSubmit={submit} aria-label="Custom range">
      <Group gap="sm" align="start">
        <TextInput label="From" type="datetime-local" value={from} error={fault?.field === "from" ? fault.words : null} onChange={({ currentTarget }) => { setFrom(currentTarget.value); }} />
        <TextInput label="To" type="datetime-local" value={to} error={fault?.field === "to" ? fault.words : null} onChange={({ currentTarget }) => { setTo(currentTarget.value); }} />
        <Button type="submit" variant="default" mt={{ base: 0, xs: "1.55rem" }}>Show</Button>
      </Group>
    </Paper>
  );
}

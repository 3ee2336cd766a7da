import { CloseButton, Select, TextInput } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";

interface SearchProps {
  /** What is searched: "products". */
  what: string;
  /** What of it: "name or description". */
  by: string;
  value: string | undefined;
  onChange: (value: string) => void;
}

/** Narrows a list while one types. */
export function SearchField({ what, by, value = "", onChange }: SearchProps) {
  return (
    <TextInput
      aria-label={`Search ${what}`}
      placeholder={`Search by ${by}`}
      leftSection={<IconSearch size={16} aria-hidden />}
      value={value}
      onChange={(event) => { onChange(event.currentTarget.value); }}
      rightSection={value ? <CloseButton size="sm" aria-label="Clear the search" onClick={() => { onChange(""); }} /> : null}
      flex="1 1 14rem"
      maw="28rem"
    />
  );
}

interface StateFilterProps<State extends string> {
  /** Words by state, in the order of the list. */
  states: readonly (readonly [State, string])[];
  value: State | undefined;
  onChange: (value: State | undefined) => void;
}

/** Narrows a list to one state. */
export function StateFilter<State extends string>({ states, value, onChange }: StateFilterProps<State>) {
  return (
    <Select<State>
      aria-label="Filter by state"
      placeholder="All states"
      clearable
      clearButtonProps={{ "aria-label": "Show all states" }}
      data={states.map(([state, label]) => ({ value: state, label }))}
      value={value ?? null}
      onChange={(state) => { onChange(state ?? undefined); }}
      w="11rem"
    />
  );
}

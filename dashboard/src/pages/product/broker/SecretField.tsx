import { Button, PasswordInput, Textarea } from "@mantine/core";
import type { GetInputPropsReturnType } from "@mantine/form";

interface Props {
  label: string;
  description?: string;
  stored: boolean;
  removed: boolean;
  onRemoved: (removed: boolean) => void;
  readOnly: boolean;
  /** A long text, such as a key. */
  multiline?: boolean;
  input: GetInputPropsReturnType;
}

/** A secret: says whether one is stored, takes a new one, and never shows it. */
export function SecretField({ label, description, stored, removed, onRemoved, readOnly, multiline = false, input }: Props) {
  const state = removed ? "Will be removed when you save" : stored ? "Stored. Leave empty to keep it" : "None is stored";
  const common = {
    ...input,
    label,
    description: description ? `${description} ${state}.` : `${state}.`,
    placeholder: stored && !removed ? "•••••••• stored" : "",
    autoComplete: "new-password",
    readOnly: readOnly || removed,
  };
  return (
    <div>
      {multiline ? <Textarea {...common} autosize minRows={2} maxRows={6} spellCheck={false} /> : (
        <PasswordInput {...common} visibilityToggleButtonProps={{ "aria-label": `Show the ${label.toLowerCase()} being entered`, tabIndex: 0 }} />
      )}
      {stored && !readOnly ? (
        <Button variant="subtle" size="compact-sm" mt={4} onClick={() => { onRemoved(!removed); }}>
          {removed ? `Keep the stored ${label.toLowerCase()}` : `Remove the stored ${label.toLowerCase()}`}
        </Button>
      ) : null}
    </div>
  );
}

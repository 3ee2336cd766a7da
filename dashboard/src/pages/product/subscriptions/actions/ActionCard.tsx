import { useSortable } from "@dnd-kit/sortable";
import { CSS } from "@dnd-kit/utilities";
import { ActionIcon, Group, Stack, Text, UnstyledButton } from "@mantine/core";
import { IconAlertTriangleFilled, IconArrowDown, IconArrowUp, IconChevronDown, IconChevronRight, IconCopy, IconGripVertical, IconTrash } from "@tabler/icons-react";
import { useEffect, useRef } from "react";

import type { TemplateName } from "~/components/json/complete";
import { JsonField } from "~/components/json/JsonField";
import type { Json } from "~/components/json/schema";

import classes from "./ActionCard.module.css";
import { conditionsInWords, summary, typeOf, type Action, type ActionDraft, type ActionFault } from "./drafts";

interface Props {
  draft: ActionDraft;
  /** Null while the text is no JSON object. */
  action: Action | null;
  index: number;
  last: number;
  opened: boolean;
  onOpened: (opened: boolean) => void;
  schema: Json | undefined;
  names: readonly TemplateName[];
  faults: ActionFault[] | undefined;
  readOnly: boolean;
  onText: (text: string) => void;
  onMove: (to: number) => void;
  onDuplicate: () => void;
  onDelete: () => void;
}

/** One action: what it does and when, in words; opened, its JSON. */
export function ActionCard(props: Props) {
  const { draft, action, index, opened, onOpened, schema, names, faults, readOnly, onText } = props;
  const { attributes, listeners, setNodeRef, setActivatorNodeRef, transform, transition, isDragging } = useSortable({ id: draft.key, disabled: readOnly });
  const Chevron = opened ? IconChevronDown : IconChevronRight;
  const label = `Action ${index + 1}`;
  const body = `${draft.key}-body`;
  return (
    <li ref={setNodeRef} className={`surface ${classes.card ?? ""}`} data-dragging={isDragging || undefined} aria-label={label}
      style={{ transform: CSS.Translate.toString(transform), transition }}>
      <div className={classes.head}>
        {readOnly ? null : (
          <ActionIcon ref={setActivatorNodeRef} variant="subtle" color="gray" className={classes.grip} {...attributes} {...listeners} aria-label={`Drag action ${index + 1}`}>
            <IconGripVertical size={18} aria-hidden />
          </ActionIcon>
        )}
        <UnstyledButton className={classes.open} data-faulty={faults !== undefined || action === null || undefined} aria-expanded={opened} aria-controls={body} onClick={() => { onOpened(!opened); }}>
          <Chevron size={16} aria-hidden className={classes.chevron} />
          <span className={classes.words}>
            <Text span fw={600}>{index + 1}. {action ? typeOf(action) || "no type yet" : "not valid JSON yet"}</Text>{" "}
            {action ? <Text span size="sm">{summary(action)}</Text> : null}
            <Text span size="sm" c="dimmed" display="block">{action ? conditionsInWords(action) : "Open it to see what is wrong."}</Text>
          </span>
          {faults ? <IconAlertTriangleFilled size={18} className="bad" aria-label="has errors" /> : null}
        </UnstyledButton>
        {readOnly ? null : <Buttons {...props} />}
      </div>
      <div id={body} hidden={!opened}>
        {opened ? (
          <Stack gap="xs" className={classes.body}>
            <JsonField label={label} value={draft.text} onChange={onText} schema={schema} names={names} faults={faults} readOnly={readOnly} />
          </Stack>
        ) : null}
      </div>
    </li>
  );
}

function Buttons({ index, last, onMove, onDuplicate, onDelete }: Props) {
  const up = useRef<HTMLButtonElement>(null);
  const down = useRef<HTMLButtonElement>(null);
  const refocus = useRef<HTMLButtonElement | null>(null);
  // What is moved in the document loses the focus.
  useEffect(() => {
    refocus.current?.focus();
    refocus.current = null;
  }, [index]);
  const name = `action ${index + 1}`;
  return (
    <Group gap={2} wrap="nowrap" className={classes.buttons}>
      <ActionIcon ref={up} variant="subtle" color="gray" aria-label={`Move ${name} up`} aria-disabled={index === 0}
        onClick={() => { refocus.current = up.current; onMove(index - 1); }}><IconArrowUp size={18} aria-hidden /></ActionIcon>
      <ActionIcon ref={down} variant="subtle" color="gray" aria-label={`Move ${name} down`} aria-disabled={index === last}
        onClick={() => { refocus.current = down.current; onMove(index + 1); }}><IconArrowDown size={18} aria-hidden /></ActionIcon>
      <ActionIcon variant="subtle" color="gray" aria-label={`Duplicate ${name}`} onClick={onDuplicate}><IconCopy size={18} aria-hidden /></ActionIcon>
      <ActionIcon variant="subtle" color="red" aria-label={`Remove ${name}`} onClick={onDelete}><IconTrash size={18} aria-hidden /></ActionIcon>
    </Group>
  );
}

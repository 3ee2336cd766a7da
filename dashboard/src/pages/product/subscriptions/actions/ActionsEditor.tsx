/** The actions of a subscription in their order: add, change, move, copy, remove. */

import { closestCenter, DndContext, KeyboardSensor, PointerSensor, useSensor, useSensors, type DragEndEvent } from "@dnd-kit/core";
import { SortableContext, sortableKeyboardCoordinates, verticalListSortingStrategy } from "@dnd-kit/sortable";
import { Stack, Text, VisuallyHidden } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";

import { actionTypesQuery } from "~/api/queries";
import type { TemplateName } from "~/components/json/complete";
import type { Json } from "~/components/json/schema";
import { count } from "~/lib/format";

import { ActionCard } from "./ActionCard";
import { AddAction } from "./AddAction";
import { actionOf, draftOf, moved, templateOf, typeIn, type ActionDraft, type ActionFault } from "./drafts";

interface Props {
  drafts: ActionDraft[];
  onChange: (drafts: ActionDraft[]) => void;
  /** What the service has found wrong, by the key of the action. */
  faults: Readonly<Record<string, ActionFault[]>>;
  /** Forget the faults of an action: it is another one now. */
  onTouched: (key: string) => void;
  names: readonly TemplateName[];
  /** Types that instances can run, beside the built-in ones. */
  otherTypes: readonly string[];
  readOnly: boolean;
}

export function ActionsEditor({ drafts, onChange, faults, onTouched, names, otherTypes, readOnly }: Props) {
  const types = useQuery(actionTypesQuery).data;
  const [opened, setOpened] = useState<ReadonlySet<string>>(() => new Set(drafts.length === 1 ? drafts.map((each) => each.key) : []));
  const [said, setSaid] = useState("");
  const schemas = useMemo(() => new Map<string, Json>(types?.map((each) => [each.type, each.schema])), [types]);
  const sensors = useSensors(
    useSensor(PointerSensor, { activationConstraint: { distance: 4 } }),
    useSensor(KeyboardSensor, { coordinateGetter: sortableKeyboardCoordinates }),
  );
  const indexOf = (key: unknown): number => drafts.findIndex((each) => each.key === key);
  const nameOf = (key: unknown): string => `Action ${indexOf(key) + 1}`;
  const open = (key: string, wanted: boolean): void => {
    setOpened((old) => new Set(wanted ? [...old, key] : [...old].filter((each) => each !== key)));
  };
  const move = (from: number, to: number): void => {
    const next = moved(drafts, from, to);
    if (next === drafts) {
      setSaid(to < 0 ? "It is the first action already." : "It is the last action already.");
      return;
    }
    onChange(next);
    setSaid(`Action ${from + 1} is now number ${to + 1} of ${drafts.length}.`);
  };
  const insert = (draft: ActionDraft, at: number): void => {
    onChange([...drafts.slice(0, at), draft, ...drafts.slice(at)]);
    open(draft.key, true);
    setSaid(`Action ${at + 1} was added.`);
  };
  const announcements = {
    onDragStart: ({ active }: { active: { id: unknown } }) => `${nameOf(active.id)} is picked up.`,
    onDragOver: ({ active, over }: { active: { id: unknown }; over: { id: unknown } | null }) =>
      over ? `${nameOf(active.id)} is over place ${indexOf(over.id) + 1} of ${drafts.length}.` : undefined,
    onDragEnd: ({ over }: { over: { id: unknown } | null }) => (over ? `Dropped at place ${indexOf(over.id) + 1} of ${drafts.length}.` : "Dropped where it was."),
    onDragCancel: () => "It stays where it was.",
  };
  return (
    <Stack gap="sm">
      <VisuallyHidden role="status">{said}</VisuallyHidden>
      {drafts.length === 0 ? (
        <Text c="dimmed" size="sm">No action yet: messages are counted, and nothing else happens.{readOnly ? "" : " Add what should happen with each."}</Text>
      ) : (
        <DndContext
          sensors={sensors}
          collisionDetection={closestCenter}
          accessibility={{ announcements, screenReaderInstructions: { draggable: "Press space to pick the action up, the arrow keys to move it, space to drop it, escape to leave it where it was." } }}
          onDragEnd={({ active, over }: DragEndEvent) => { if (over) onChange(moved(drafts, indexOf(active.id), indexOf(over.id))); }}
        >
          <SortableContext items={drafts.map((each) => each.key)} strategy={verticalListSortingStrategy}>
            <Stack component="ol" gap="xs" m={0} p={0} aria-label={count(drafts.length, "action")}>
              {drafts.map((draft, index) => {
                const action = actionOf(draft.text);
                return (
                  <ActionCard
                    key={draft.key}
                    draft={draft}
                    action={action}
                    index={index}
                    last={drafts.length - 1}
                    opened={opened.has(draft.key) || faults[draft.key] !== undefined}
                    onOpened={(wanted) => {
                      open(draft.key, wanted);
                      if (!wanted) onTouched(draft.key);
                    }}
                    schema={schemas.get(typeIn(draft.text))}
                    names={names}
                    faults={faults[draft.key]}
                    readOnly={readOnly}
                    onText={(text) => {
                      onTouched(draft.key);
                      onChange(drafts.map((each) => (each === draft ? { ...each, text } : each)));
                    }}
                    onMove={(to) => { move(index, to); }}
                    onDuplicate={() => { insert({ ...draftOf({}), text: draft.text }, index + 1); }}
                    onDelete={() => {
                      onChange(drafts.filter((each) => each !== draft));
                      setSaid(`Action ${index + 1} was removed.`);
                    }}
                  />
                );
              })}
            </Stack>
          </SortableContext>
        </DndContext>
      )}
      {readOnly ? null : (
        <AddAction types={types ?? []} others={otherTypes} onAdd={(type) => { insert(draftOf(templateOf(type, schemas.get(type))), drafts.length); }} />
      )}
    </Stack>
  );
}

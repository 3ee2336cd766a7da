/** An editor of JSON that knows a schema. Large: load it with `JsonField`. */

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { bracketMatching, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { lintKeymap, setDiagnostics } from "@codemirror/lint";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import { drawSelection, EditorView, keymap, lineNumbers } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";
import { useComputedColorScheme } from "@mantine/core";
import { useDeferredValue, useEffect, useEffectEvent, useId, useMemo, useRef, useState } from "react";

import { nonce } from "~/lib/nonce";

import { schemaCompletion, type TemplateName } from "./complete";
import { diagnose, type PlacedFault } from "./diagnose";
import classes from "./JsonEditor.module.css";
import type { Json } from "./schema";

export interface JsonEditorProps {
  label: string;
  value: string;
  onChange: (text: string) => void;
  schema?: Json | undefined;
  /** What templates in it can name. */
  names?: readonly TemplateName[];
  /** What the service has found wrong with it. */
  faults?: readonly PlacedFault[] | undefined;
  readOnly?: boolean;
}

const NO_NAMES: readonly TemplateName[] = [];

export function JsonEditor({ label, value, onChange, schema, names = NO_NAMES, faults, readOnly = false }: JsonEditorProps) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const told = useId();
  const changed = useEffectEvent(onChange);
  const dark = useComputedColorScheme("light") === "dark";
  const [settings, attributes] = useState(() => [new Compartment(), new Compartment()] as const)[0];
  const text = useDeferredValue(value);
  const findings = useMemo(() => diagnose(text, schema, faults), [text, schema, faults]);
  const invalid = findings.length > 0;
  const options = useMemo<Extension>(
    () => [
      dark ? DARK : LIGHT,
      EditorState.readOnly.of(readOnly),
      autocompletion({ override: [schemaCompletion(schema, names)], icons: false }),
    ],
    [dark, readOnly, schema, names],
  );
  // Apart from the others: a list of completions that is open goes when those are set anew.
  const named = useMemo<Extension>(
    () => EditorView.contentAttributes.of({ "aria-label": label, "aria-describedby": told, ...(invalid ? { "aria-invalid": "true" } : {}) }),
    [label, told, invalid],
  );
  const begin = useEffectEvent((parent: Element) =>
    new EditorView({
      parent,
      state: EditorState.create({
        doc: value,
        extensions: [
          BASE,
          settings.of(options),
          attributes.of(named),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) changed(update.state.doc.toString());
          }),
        ],
      }),
    }),
  );

  useEffect(() => {
    if (!place.current) return;
    const made = begin(place.current);
    view.current = made;
    return () => {
      made.destroy();
      view.current = null;
    };
  }, []);
  useEffect(() => {
    const shown = view.current;
    if (shown && shown.state.doc.toString() !== value) shown.dispatch({ changes: { from: 0, to: shown.state.doc.length, insert: value } });
  }, [value]);
  useEffect(() => {
    view.current?.dispatch({ effects: settings.reconfigure(options) });
  }, [settings, options]);
  useEffect(() => {
    view.current?.dispatch({ effects: attributes.reconfigure(named) });
  }, [attributes, named]);
  useEffect(() => {
    const shown = view.current;
    if (!shown) return;
    const end = shown.state.doc.length;
    const marks = findings.map(({ from, to, msg }) => ({ from: Math.min(from, end), to: Math.min(Math.max(to, from), end), message: msg, severity: "error" as const }));
    shown.dispatch(setDiagnostics(shown.state, marks));
  }, [findings]);

  return (
    <div>
      <div ref={place} className={classes.editor} data-invalid={invalid || undefined} />
      <ul id={told} className={classes.findings} aria-label={`What is wrong with ${label}`} hidden={!invalid}>
        {findings.map((each) => (
          <li key={`${each.from} ${each.place} ${each.msg}`}>
            {each.place ? <code>{each.place}</code> : null} {each.msg} <span className={classes.line}>line {lineOf(text, each.from)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

function lineOf(text: string, at: number): number {
  return text.slice(0, at).split("\n").length;
}

const BASE: Extension = [
  EditorView.cspNonce.of(nonce),
  lineNumbers(),
  history(),
  drawSelection(),
  indentOnInput(),
  bracketMatching(),
  closeBrackets(),
  json(),
  syntaxHighlighting(classHighlighter),
  EditorView.lineWrapping,
  // Tab leaves the editor, as it leaves every other field.
  keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap]),
];

const looks = (dark: boolean): Extension =>
  EditorView.theme(
    {
      "&": { fontSize: "0.8125rem", backgroundColor: "var(--app-surface)", color: "var(--mantine-color-text)" },
      "&.cm-focused": { outline: "none" },
      ".cm-content": { fontFamily: "var(--mantine-font-family-monospace)", padding: "0.5rem 0" },
      ".cm-gutters": { backgroundColor: "transparent", color: "var(--mantine-color-dimmed)", border: "none" },
      ".cm-tooltip": { backgroundColor: "var(--app-surface)", border: "1px solid var(--app-border)", color: "var(--mantine-color-text)" },
      ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "0.25rem 0.5rem", lineHeight: "1.4" },
      ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--mantine-primary-color-filled)", color: "var(--mantine-primary-color-contrast)" },
      ".cm-completionDetail": { fontStyle: "normal", marginLeft: "1rem" },
      ".cm-completionInfo": { maxWidth: "20rem", padding: "0.5rem" },
      ".cm-diagnostic": { padding: "0.35rem 0.6rem" },
    },
    { dark },
  );
const LIGHT = looks(false);
const DARK = looks(true);

import { Alert, Anchor, Button, FileButton, Group, List, Stack, Text, Textarea } from "@mantine/core";
import { IconUpload } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";

import { api, ifMatch, need } from "~/api/client";
import { ApiError } from "~/api/problem";
import { configQuery, keys } from "~/api/queries";
import type { ImportWritten } from "~/api/types";
import { Failure } from "~/components/Failure";
import { LinkAnchor } from "~/components/links";
import { UnsavedGuard } from "~/components/UnsavedGuard";
import { integer } from "~/lib/format";

import { EffectPreview } from "../EffectPreview";
import { RolloutProgress } from "../RolloutProgress";
import { DiffView } from "./DiffView";
import classes from "./ImportForm.module.css";
import { importParts, importWords, MOST_BYTES, placed, readFile, TOO_LARGE, type PlacedFault } from "./transfer";

type Document = Record<string, unknown>;

/** Takes a file, shows what it would change, then imports it. */
export function ImportForm({ productId }: { productId: number }) {
  const client = useQueryClient();
  const [text, setText] = useState("");
  const [mistake, setMistake] = useState<string | null>(null);
  const [faults, setFaults] = useState<PlacedFault[]>([]);
  const [saved, setSaved] = useState<number | null>(null);
  const area = useRef<HTMLTextAreaElement>(null);
  const resetFile = useRef<() => void>(null);

  const send = (document: Document, base: number | null, dry_run: boolean): Promise<ImportWritten> =>
    need(api.POST("/api/v1/products/{product_id}/mqtt-config/import", {
      params: { path: { product_id: productId }, query: { dry_run }, header: ifMatch(base) },
      // Any object: the service says what is wrong with it.
      body: document as Record<string, never>,
    }));
  const check = useMutation({
    mutationFn: async ({ document }: { document: Document; about: string }) => {
      // What is compared is what the answer is about.
      const before = await client.query({ ...configQuery(productId), staleTime: 0 });
      const after = await send(document, before.revision, true);
      return { after, parts: importParts(before, after) };
    },
    onError: async (error) => {
      if (error instanceof ApiError && error.faults.length > 0) setFaults(await placed(text, error.faults));
    },
  });
  const write = useMutation({
    mutationFn: ({ document, base }: { document: Document; base: number | null }) => send(document, base, false),
    onSuccess: ({ revision }) => {
      change("");
      setSaved(revision);
      void client.invalidateQueries({ queryKey: keys.product(productId) });
      void client.invalidateQueries({ queryKey: keys.fleet });
    },
  });
  const change = (next: string): void => {
    setText(next);
    setMistake(null);
    setFaults([]);
    check.reset();
    write.reset();
  };
  const start = (content: string): void => {
    change(content);
    const read = readFile(content);
    if ("error" in read) setMistake(read.error);
    else check.mutate(read);
  };
  const choose = async (file: File): Promise<void> => {
    // The same file may be chosen again once it is corrected.
    resetFile.current?.();
    if (file.size <= MOST_BYTES) start(await file.text());
    else {
      change("");
      setMistake(TOO_LARGE);
    }
  };
  const show = ({ from, to, line }: PlacedFault): void => {
    const place = area.current;
    if (!place) return;
    place.focus();
    place.setSelectionRange(from, to);
    place.scrollTop = ((line ?? 1) - 4) * (place.scrollHeight / Math.max(1, text.split("\n").length));
  };
  const preview = check.data;
  const moved = [check.error, write.error].some((each) => each instanceof ApiError && each.status === 412);
  return (
    <Stack>
      <UnsavedGuard dirty={text.trim() !== ""} />
      {saved === null ? null : <RolloutProgress productId={productId} revision={saved} onClose={() => { setSaved(null); }} />}
      <div>
        <FileButton accept="application/json,.json" resetRef={resetFile} onChange={(file) => { if (file) void choose(file); }}>
          {(props) => <Button variant="default" leftSection={<IconUpload size={16} aria-hidden />} {...props}>Choose a file</Button>}
        </FileButton>
      </div>
      <Textarea
        ref={area}
        label="Or paste its content"
        value={text}
        onChange={(event) => { change(event.currentTarget.value); }}
        error={mistake ?? (faults.length > 0 ? "It breaks the rules below" : undefined)}
        autosize
        minRows={4}
        maxRows={preview ? 6 : 18}
        spellCheck={false}
        classNames={{ input: classes.text ?? "" }}
      />
      {faults.length > 0 ? (
        <Alert color="red" role="alert" title={faults.length === 1 ? "Change this, then check again" : `Change these ${integer(faults.length)}, then check again`}>
          <List size="sm">
            {faults.map((each, index) => (
              <List.Item key={index}>
                {each.line === null ? null : <><Anchor component="button" type="button" inherit underline="always" c="inherit" onClick={() => { show(each); }}>Line {integer(each.line)}</Anchor>, </>}
                {each.place}: {each.msg}
              </List.Item>
            ))}
          </List>
        </Alert>
      ) : null}
      {moved ? <Alert color="orange" role="alert" title="Somebody else has saved meanwhile">Check again to see what the import would change now.</Alert> : null}
      {!moved && faults.length === 0 ? <Refusal productId={productId} error={check.error ?? write.error} /> : null}
      {preview ? null : (
        <div><Button disabled={text.trim() === ""} loading={check.isPending} onClick={() => { start(text); }}>Check</Button></div>
      )}
      {preview ? (
        <Stack gap="md" role="region" aria-label="What the import would change" ref={intoView} className={classes.preview}>
          <Text size="sm">{check.variables.about}</Text>
          <Text fw={650} role="status">{importWords(preview.parts)}.</Text>
          <EffectPreview effect={preview.after.effect} warnings={preview.after.warnings ?? []} />
          <Group>
            <Button variant="default" onClick={() => { change(""); }}>Discard</Button>
            <Button
              disabled={preview.parts.length === 0 || moved}
              loading={write.isPending}
              onClick={() => { write.mutate({ document: check.variables.document, base: preview.after.revision }); }}
            >
              Import
            </Button>
            {moved ? <Button variant="default" onClick={() => { start(text); }}>Check again</Button> : null}
          </Group>
          <DiffView parts={preview.parts} before="Now" after="After the import" />
        </Stack>
      ) : null}
    </Stack>
  );
}

/** It stands below the text, which may fill the page. */
function intoView(place: HTMLElement | null): void {
  place?.scrollIntoView({ block: "start" });
}

function Refusal({ productId, error }: { productId: number; error: unknown }) {
  if (!error) return null;
  if (error instanceof ApiError && error.status === 409) {
    return (
      <Alert color="orange" role="alert" title="Enter the broker first">
        This file says nothing of a broker, and the product has none yet.{" "}
        <LinkAnchor inherit underline="always" c="inherit" to="/products/$productId/broker" params={{ productId }}>Enter the broker</LinkAnchor>, then import it.
      </Alert>
    );
  }
  return <Failure error={error} title="Not imported" />;
}

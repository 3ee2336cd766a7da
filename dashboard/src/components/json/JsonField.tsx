/** The JSON editor, loaded when one is shown. */

import { Skeleton } from "@mantine/core";
import { lazy, Suspense } from "react";

import type { JsonEditorProps } from "./JsonEditor";

const Editor = lazy(async () => ({ default: (await import("./JsonEditor")).JsonEditor }));

export function JsonField(props: JsonEditorProps) {
  const lines = props.value.split("\n").length;
  return (
    <Suspense fallback={<Skeleton h={`${1 + Math.min(lines, 26) * 1.15}rem`} role="status" aria-label="Loading the editor" />}>
      <Editor {...props} />
    </Suspense>
  );
}

/** Colours and sizes. Each pair of text and ground has at least 4.5:1 in both themes (WCAG 2.2 AA). */

import { createTheme, type CSSVariablesResolver } from "@mantine/core";

export const theme = createTheme({
  primaryColor: "blue",
  primaryShade: { light: 8, dark: 8 },
  defaultRadius: "sm",
  colors: {
    dark: ["#e4e7eb", "#ccd2d9", "#a9b1bb", "#818b97", "#4a525d", "#3a414b", "#23282f", "#1c2026", "#14171b", "#0e1013"],
  },
  cursorType: "pointer",
  respectReducedMotion: true,
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
  fontFamilyMonospace: "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace",
  headings: { fontWeight: "650" },
  components: {
    Tooltip: { defaultProps: { withArrow: true, multiline: true, maw: 360, events: { hover: true, focus: true, touch: true } } },
    // The words of a tinted box in the colour of text: the tint alone has too little contrast.
    Alert: { styles: { title: { color: "var(--mantine-color-text)" } } },
    Notification: {
      defaultProps: { closeButtonProps: { "aria-label": "Close" } },
      styles: { description: { color: "var(--mantine-color-dimmed)" } },
    },
    // A dialog has no banner.
    ModalHeader: { defaultProps: { role: "presentation" } },
    DrawerHeader: { defaultProps: { role: "presentation" } },
    Modal: { defaultProps: { centered: true, closeButtonProps: { "aria-label": "Close" } } },
  },
});

export const variables: CSSVariablesResolver = (from) => ({
  variables: {},
  light: {
    "--mantine-color-dimmed": from.colors.gray[7],
    "--mantine-color-placeholder": from.colors.gray[7],
    "--mantine-color-error": from.colors.red[9],
    "--mantine-color-anchor": from.colors.blue[8],
    "--mantine-color-body": "#f6f7f9",
    "--app-surface": "#ffffff",
    "--app-border": from.colors.gray[3],
    "--app-hover": "#eef3f9",
    "--code-bg": "#e9edf2",
    "--app-good": "#18723a",
    "--app-warn": "#8f4700",
    "--app-bad": "#b3261e",
    "--app-idle": "#4d5661",
  },
  dark: {
    "--mantine-color-dimmed": "#a9b1bb",
    "--mantine-color-placeholder": "#a9b1bb",
    "--mantine-color-error": from.colors.red[4],
    "--mantine-color-anchor": from.colors.blue[4],
    "--mantine-color-body": "#14171b",
    "--mantine-color-default": "#23282f",
    "--app-surface": "#1c2026",
    "--app-border": "#343a43",
    "--app-hover": "#262c34",
    "--app-good": "#63d08a",
    "--app-warn": "#f3b052",
    "--app-bad": "#ff8b85",
    "--app-idle": "#a9b1bb",
  },
});

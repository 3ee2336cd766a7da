import "@mantine/core/styles.css";
import "@mantine/notifications/styles.css";
import "./app.css";

import { localStorageColorSchemeManager, MantineProvider } from "@mantine/core";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { setNonce } from "get-nonce";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { client } from "./api/cache";
import { Toasts } from "./components/Toasts";
import { nonce } from "./lib/nonce";
import { router } from "./router";
import { theme, variables } from "./theme";

// Styles that components make while they run carry the nonce of this page; the policy refuses all others.
if (nonce) setNonce(nonce);

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <MantineProvider
      theme={theme}
      cssVariablesResolver={variables}
      colorSchemeManager={localStorageColorSchemeManager({ key: "colour-scheme" })}
      defaultColorScheme="auto"
      getStyleNonce={() => nonce}
    >
      <QueryClientProvider client={client}>
        <Toasts />
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);

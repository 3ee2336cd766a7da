import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";
import { compression } from "vite-plugin-compression2";

const FIRST_LOAD_BYTES = 300 * 1024;

/** Fails the build when the script that must load before anything shows is too large. */
function budget(limit: number): Plugin {
  return {
    name: "budget",
    generateBundle(_, bundle) {
      const chunks = Object.values(bundle).filter((each) => each.type === "chunk");
      const byName = new Map(chunks.map((each) => [each.fileName, each]));
      const first = new Set<string>();
      const follow = (name: string): void => {
        if (first.has(name)) return;
        first.add(name);
        byName.get(name)?.imports.forEach(follow);
      };
      chunks.filter((each) => each.isEntry).forEach((each) => { follow(each.fileName); });
      const size = [...first].reduce((sum, name) => sum + gzipSync(byName.get(name)?.code ?? "").length, 0);
      const text = `first load: ${(size / 1024).toFixed(0)} KiB of compressed script`;
      if (size > limit) this.error(`${text}; at most ${String(limit / 1024)} KiB`);
      this.info(text);
    },
  };
}

export default defineConfig({
  plugins: [react(), budget(FIRST_LOAD_BYTES), compression({ include: /assets\/.*\.(js|css)$/, algorithms: ["gzip", "brotliCompress"] })],
  resolve: { alias: { "~": fileURLToPath(new URL("src", import.meta.url)) } },
  build: {
    outDir: "../config_service/static",
    emptyOutDir: true,
    target: "es2023",
    // The content security policy allows no data: scripts, and small files are cheap over HTTP.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1000,
    modulePreload: { polyfill: false },
  },
  server: {
    // `npm run dev` beside a running service, with the same origin for the cookie.
    proxy: { "/api": { target: process.env["API"] ?? "http://127.0.0.1:8004", changeOrigin: false } },
  },
  test: { environment: "node", include: ["src/**/*.test.ts"] },
} as Parameters<typeof defineConfig>[0]);

import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  publicDir: false,
  build: {
    outDir: "../refmill_web/static/dist",
    emptyOutDir: true,
    manifest: "manifest.json",
    modulePreload: false,
    target: "es2022",
    assetsInlineLimit: 0,
    rollupOptions: { input: ["src/page.ts", "src/run.ts", "styles/main.scss"] },
  },
});

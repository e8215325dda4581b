// Writes the icons that the pages use, as shapes of a 24 × 24 SVG, from @tabler/icons (MIT) into icons.json.
// Run it by hand (`npm run icons`) after changing the list; the result is committed.
import { readFileSync, writeFileSync } from "node:fs";

const outline = [
  "arrow-right", "ban", "bolt", "brand-git", "check", "chevron-down", "clock", "copy", "database", "dots", "download",
  "external-link", "file", "file-text", "folder", "git-branch", "git-commit", "history", "home", "key", "language",
  "link", "loader-2", "lock", "logout", "maximize", "minus", "package", "player-pause", "player-play", "player-stop",
  "plus", "refresh", "search", "settings", "table", "tag", "terminal-2", "text-wrap", "trash", "user", "world", "x",
];
const filled = ["alert-triangle", "bolt", "circle-check", "circle-x", "clock", "player-stop", "player-pause"];
const lines = ["circle-minus"];

const shapes = (style, name) =>
  readFileSync(new URL(`../node_modules/@tabler/icons/icons/${style}/${name}.svg`, import.meta.url), "utf8")
    .replace(/<!--[\s\S]*?-->/g, "")
    .replace(/^[\s\S]*?<svg[^>]*>|<\/svg>\s*$/g, "")
    .replace(/\s*<path stroke="none"[^>]*\/>/g, "")
    .replace(/\s*\n\s*/g, "");

const icons = {};
for (const name of [...outline, ...lines]) icons[name] = shapes("outline", name);
for (const name of filled) icons[name] = `<g fill="currentColor" stroke="none">${shapes("filled", name)}</g>`;
const sorted = Object.fromEntries(Object.entries(icons).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(new URL("../../refmill_web/icons.json", import.meta.url), JSON.stringify(sorted, null, 1) + "\n");

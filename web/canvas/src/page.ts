/** What every page gets: copy buttons, times that stay true, menus that close, a few keys. */

import { ago } from "./format";
import { text } from "./messages";

const MONTH = 30 * 86400;

function copyButtons(): void {
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-copy]") : null;
    if (!button) return;
    void copy(button.dataset["copy"] ?? "").then((done) => {
      if (!done) return;
      const words = button.title;
      button.classList.add("done");
      button.title = text("Copied");
      setTimeout(() => {
        button.classList.remove("done");
        button.title = words;
      }, 1500);
    });
  });
}

/** Where the clipboard API is missing (plain http), the old command still works. */
async function copy(words: string): Promise<boolean> {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(words);
    return true;
  }
  const area = document.createElement("textarea");
  area.value = words;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

/** Shows buttons that need this script and writes times for the reader's zone; also for parts that come later. */
export function freshen(root: ParentNode = document): void {
  for (const button of root.querySelectorAll<HTMLElement>("[data-copy][hidden]")) button.hidden = false;
  const language = document.documentElement.lang;
  for (const element of root.querySelectorAll<HTMLTimeElement>("time[datetime]")) {
    const when = new Date(element.dateTime);
    const seconds = (Date.now() - when.getTime()) / 1000;
    element.title = when.toLocaleString(language);
    if (seconds < MONTH) element.textContent = ago(seconds, language);
  }
}

function menus(): void {
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll<HTMLDetailsElement>("details.menu[open]")) {
      if (!(event.target instanceof Node && menu.contains(event.target))) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll<HTMLDetailsElement>("details.menu[open]")) menu.open = false;
  });
}

/** `g` then a letter goes to a page: `g s` start, `g r` runs. */
function keys(): void {
  let waiting = 0;
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    const typing = target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const going = Date.now() - waiting < 1200;
    waiting = event.key === "g" ? Date.now() : 0;
    if (going && event.key === "r") location.assign("/runs");
    if (going && event.key === "s") location.assign("/");
  });
}

copyButtons();
menus();
keys();
freshen();
setInterval(() => freshen(), 30_000);

/** The run page: graph, the selected stage with its log, tables; all kept true while the run goes on. */

import { clock, duration } from "./format";
import { glyph, Graph } from "./graph";
import { Live } from "./live";
import { Log } from "./log";
import { text } from "./messages";
import { freshen } from "./page";
import { ENDED, type News, type RunState } from "./types";

const byId = (id: string): HTMLElement | null => document.getElementById(id);
const root = byId("run")!;
const address = root.dataset["address"]!;
let state = JSON.parse(byId("run-data")!.textContent!) as RunState;
let skew = state.now - Date.now() * 1000;
let log: Log | null = null;
let refreshing = 0;
let turning = false;

const stageOf = (): string => byId("panel")?.dataset["stage"] ?? "";

function attachLog(): void {
  const box = byId("log");
  const panel = byId("panel");
  log = null;
  if (!box || !panel) return;
  const attempt = Number(panel.dataset["attempt"] ?? "1");
  log = new Log(box, stageOf(), attempt, address, { bar: byId("log-tools"), state: byId("log-state") });
}

async function fragment(part: "stage" | "results" | "", stage: string): Promise<Document> {
  const query = new URLSearchParams({ stage, ...(part ? { part } : {}) });
  const answer = await fetch(`${address}?${query.toString()}`, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(String(answer.status));
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/** Puts a fresh rendering of the panel in place; what was typed or scrolled elsewhere stays. */
async function showStage(stage: string): Promise<void> {
  const fresh = await fragment("stage", stage);
  byId("stage")!.replaceChildren(...fresh.body.childNodes);
  freshen(byId("stage")!);
  attachLog();
  graph?.select(stage);
}

async function showResults(): Promise<void> {
  const fresh = await fragment("results", stageOf());
  byId("results")!.replaceChildren(...fresh.body.childNodes);
  freshen(byId("results")!);
}

async function choose(stage: string, push = true): Promise<void> {
  graph?.select(stage);
  if (push) history.pushState(null, "", `?${new URLSearchParams({ stage }).toString()}`);
  await showStage(stage);
  live?.restart();
}

function header(): void {
  const place = byId("run-state")!;
  const shown = document.createElement("span");
  shown.className = `state ${state.status}`;
  const words = document.createElement("span");
  words.textContent = state.headline;
  shown.append(glyph(state.status), words);
  place.replaceChildren(shown);
  byId("run-left")!.textContent = state.left ? ` · ${text("about %(time)s left", { time: state.left })}` : "";
  document.title = document.title.replace(/^(#\d+) [^·]*/, `$1 ${state.word} `);
  const icon = document.getElementById("favicon");
  if (icon instanceof HTMLLinkElement) icon.href = `${root.dataset["states"]}${state.status}.svg`;
  for (const row of document.querySelectorAll<HTMLTableRowElement>("#stage-table tr[data-node]")) {
    const node = state.nodes.find((one) => one.address === row.dataset["node"]);
    const cell = row.cells[1];
    if (!node || !cell || cell.querySelector(`.state.${node.status}`)) continue;
    const mark = document.createElement("span");
    mark.className = `state ${node.status}`;
    mark.append(glyph(node.status), node.word);
    cell.replaceChildren(mark);
  }
}

function tick(): void {
  const now = Date.now() * 1000 + skew;
  const until = state.finished ?? now;
  if (state.started !== null) {
    const seconds = (until - state.started) / 1e6;
    byId("run-clock")!.textContent = state.ended ? duration(seconds) : clock(seconds);
  }
  const spent = document.querySelector<HTMLElement>("#panel [data-clock]:not([data-ended])");
  const started = Number(spent?.dataset["started"]);
  if (spent && started) spent.textContent = clock((now - started) / 1e6);
  graph?.tick();
}

function hear(news: News): void {
  if (news.type === "log") log?.add(news, news.attempt);
  if (news.type !== "state") return;
  const before = state;
  state = news;
  skew = news.now - Date.now() * 1000;
  graph?.update(news.nodes, news.now);
  header();
  tick();
  const ended = news.nodes.some((node, index) => ENDED.has(node.status) && before.nodes[index]?.status !== node.status);
  const panel = byId("panel");
  const selected = news.nodes.find((node) => node.address === stageOf());
  const stale = panel && selected && selected.status !== panel.dataset["status"];
  const turned = news.status !== before.status || news.asks !== before.asks;
  if (ended || stale || turned || news.figures !== before.figures) refresh(turned);
}

/** Asks for fresh tables and panel, with the head of the page if `whole`, once things have calmed down for a moment. */
function refresh(whole: boolean): void {
  clearTimeout(refreshing);
  turning ||= whole;
  refreshing = window.setTimeout(() => void bring(), 250);
}

async function bring(): Promise<void> {
  const stage = stageOf();
  if (turning) {
    turning = false;
    const fresh = await fragment("", stage);
    for (const id of ["run-actions", "run-why", "graph-summary"]) {
      const part = fresh.getElementById(id);
      if (part) byId(id)?.replaceChildren(...part.childNodes);
    }
  }
  await showResults();
  const shown = byId("panel")?.dataset["status"];
  if (stage && stage === stageOf() && state.nodes.some((node) => node.address === stage && node.status !== shown)) {
    await showStage(stage);
  }
}

function tools(target: Graph): void {
  const button = (words: string, act: () => void): HTMLButtonElement => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "plain";
    made.textContent = words;
    made.addEventListener("click", act);
    return made;
  };
  const table = byId("stage-table")!;
  const both = [button(text("fit"), () => target.fit()), button("−", () => target.zoom(0.8)), button("+", () => target.zoom(1.25))];
  both[1]!.setAttribute("aria-label", text("zoom out"));
  both[2]!.setAttribute("aria-label", text("zoom in"));
  const swap = button(text("table"), () => {
    table.hidden = !table.hidden;
    byId("graph")!.hidden = !table.hidden;
    swap.textContent = table.hidden ? text("table") : text("graph");
    for (const one of both) one.hidden = !table.hidden;
    if (table.hidden) target.fit();
  });
  byId("graph-tools")!.replaceChildren(...both, swap);
}

const host = byId("graph");
const graph = host && state.nodes.length ? new Graph(host, (stage) => void choose(stage)) : null;
if (host && graph) {
  host.hidden = false;
  byId("stage-table")!.hidden = true;
  graph.update(state.nodes, state.now);
  graph.select(stageOf());
  graph.fit();
  tools(graph);
}
attachLog();
tick();
setInterval(tick, 1000);

const live = state.ended && (log as Log | null)?.complete !== false
  ? null
  : new Live(
      root.dataset["run"]!,
      () => ({ stage: stageOf(), attempt: Number(byId("panel")?.dataset["attempt"] ?? "0"), line: log?.next ?? 1 }),
      hear,
      (is) => root.classList.toggle("offline", !is),
    );

document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest<HTMLAnchorElement>("#stage-table a") : null;
  const stage = link ? new URL(link.href).searchParams.get("stage") : null;
  if (stage === null || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  void choose(stage);
});
window.addEventListener("popstate", () => {
  const stage = new URLSearchParams(location.search).get("stage") ?? state.nodes[0]?.address;
  if (stage) void choose(stage, false);
});

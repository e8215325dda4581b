/** A stage's log: follows while it grows, finds words, wraps lines, and brings earlier lines on demand. */

import { timeOfDay } from "./format";
import { text } from "./messages";
import type { LogRow } from "./types";

const KEPT = 5000;
const NEAR = 40;

export interface LogPage {
  readonly rows: readonly LogRow[];
  readonly next: number;
  readonly complete: boolean;
}

export class Log {
  next: number;
  complete: boolean;
  private first: number;
  private follows = true;
  private words = "";

  constructor(
    private readonly box: HTMLElement,
    private readonly stage: string,
    private attempt: number,
    private readonly address: string,
    tools: { readonly bar: HTMLElement | null; readonly state: HTMLElement | null },
  ) {
    this.next = Number(box.dataset["next"] ?? "1");
    this.first = Number(box.dataset["first"] ?? "1");
    this.complete = box.dataset["complete"] === "1";
    this.state = tools.state;
    for (const stamp of box.querySelectorAll<HTMLElement>(".ts[data-t]")) stamp.textContent = timeOfDay(Number(stamp.dataset["t"]));
    const marked = box.querySelector<HTMLElement>(".here");
    this.follows = !marked;
    if (marked) box.scrollTop = marked.offsetTop - box.clientHeight / 3;
    else this.toEnd();
    box.addEventListener("scroll", () => {
      this.follows = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR;
      this.tell();
    });
    if (tools.bar) this.buildTools(tools.bar);
    this.earlier();
    this.tell();
  }

  private readonly state: HTMLElement | null;

  /** New lines; those that are here already are passed over. A new attempt starts the view again. */
  add(page: LogPage, attempt: number): void {
    if (attempt !== this.attempt) {
      this.attempt = attempt;
      this.next = this.first = 1;
      this.box.replaceChildren();
    }
    const rows = page.rows.filter((row) => row.n >= this.next);
    this.complete = page.complete;
    this.next = Math.max(this.next, page.next);
    if (rows.length) {
      this.box.querySelector(".empty")?.remove();
      this.box.append(...rows.map((row) => this.line(row)));
      while (this.box.childElementCount > KEPT && this.follows) this.box.firstElementChild?.remove();
      if (this.follows) this.toEnd();
    }
    this.tell();
  }

  private line(row: LogRow): HTMLElement {
    const line = document.createElement("div");
    line.id = `n${row.n}`;
    line.className = row.s + (row.w ? " warn" : "");
    const number = document.createElement("a");
    number.className = "ln";
    number.textContent = String(row.n);
    number.href = `?${new URLSearchParams({ stage: this.stage, line: String(row.n) }).toString()}`;
    const stamp = document.createElement("span");
    stamp.className = "ts";
    stamp.textContent = timeOfDay(row.t);
    const words = document.createElement("span");
    words.className = "tx";
    for (const piece of row.p) {
      if (!piece.c) words.append(piece.t);
      else {
        const span = document.createElement("span");
        span.className = piece.c;
        span.textContent = piece.t;
        words.append(span);
      }
    }
    line.append(number, stamp, words);
    this.mark(line);
    return line;
  }

  private toEnd(): void {
    this.box.scrollTop = this.box.scrollHeight;
  }

  private tell(): void {
    if (!this.state) return;
    this.state.textContent = this.complete ? "" : this.follows ? text("following") : text("paused here; scroll down to follow");
  }

  private buildTools(bar: HTMLElement): void {
    const search = document.createElement("input");
    search.type = "search";
    search.placeholder = text("search");
    search.setAttribute("aria-label", text("Search in the log"));
    search.addEventListener("input", () => this.find(search.value));
    const wrap = document.createElement("button");
    wrap.type = "button";
    wrap.className = "plain";
    wrap.textContent = text("wrap");
    wrap.setAttribute("aria-pressed", "false");
    wrap.addEventListener("click", () => {
      wrap.setAttribute("aria-pressed", String(this.box.classList.toggle("wrap")));
    });
    bar.replaceChildren(search, wrap);
  }

  private find(words: string): void {
    this.words = words.toLowerCase();
    for (const line of this.box.querySelectorAll<HTMLElement>(":scope > div")) this.mark(line);
    const hit = this.words ? this.box.querySelector<HTMLElement>(".hit") : null;
    if (hit) {
      this.follows = false;
      this.box.scrollTop = hit.offsetTop - this.box.clientHeight / 3;
    }
  }

  private mark(line: HTMLElement): void {
    const words = line.querySelector(".tx")?.textContent?.toLowerCase() ?? "";
    line.classList.toggle("hit", this.words !== "" && words.includes(this.words));
    line.classList.toggle("miss", this.words !== "" && !words.includes(this.words));
  }

  private earlier(): void {
    if (this.first <= 1) return;
    const more = document.createElement("button");
    more.type = "button";
    more.className = "more";
    more.textContent = text("earlier lines");
    more.addEventListener("click", () => void this.bring(more));
    this.box.prepend(more);
  }

  private async bring(more: HTMLElement): Promise<void> {
    const start = Math.max(1, this.first - 1000);
    const query = { stage: this.stage, attempt: this.attempt, start, limit: this.first - start };
    const answer = await fetch(`${this.address}/log.json?${new URLSearchParams(Object.entries(query).map(([k, v]) => [k, String(v)])).toString()}`);
    if (!answer.ok) return;
    const page = (await answer.json()) as LogPage;
    const height = this.box.scrollHeight;
    more.after(...page.rows.filter((row) => row.n < this.first).map((row) => this.line(row)));
    more.remove();
    this.first = start;
    this.earlier();
    this.box.scrollTop += this.box.scrollHeight - height;
  }
}

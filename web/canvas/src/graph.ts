/** The run's graph: nodes as HTML, edges as SVG below them, moved and scaled together. */

import { clock } from "./format";
import { draw, type Drawing, type Edge, type Point } from "./layout";
import { text } from "./messages";
import { ENDED, type NodeState } from "./types";

const SIZE = { width: 176, height: 54, gapX: 48, gapY: 20 };
const MARGIN = 28;
const TALLEST = 470;
const SHORTEST = 150;
const PLAIN_BELOW = 0.42;
const READABLE = 0.55;
const MANY = 60;
const FRAME = 10;

/** A state as the page's own icon, cloned from its template. */
export function glyph(status: string): Node {
  const template = document.getElementById(`glyph-${status}`);
  return template instanceof HTMLTemplateElement ? template.content.cloneNode(true) : document.createTextNode("");
}

const part = (tag: string, className: string): HTMLElement => {
  const element = document.createElement(tag);
  element.className = className;
  return element;
};

class Box {
  readonly element = part("button", "node");
  private readonly name = part("span", "nm");
  private readonly icon = part("span", "gl");
  private readonly sub = part("span", "sub");
  private readonly bar = part("span", "bar");
  private readonly fill = part("b", "");
  state: NodeState;

  constructor(state: NodeState, at: Point) {
    this.state = state;
    this.element.setAttribute("type", "button");
    this.element.style.transform = `translate(${at.x}px, ${at.y}px)`;
    this.name.textContent = state.address;
    const head = part("span", "hd");
    head.append(this.name, this.icon);
    this.bar.append(this.fill);
    this.element.append(head, this.sub, this.bar);
    this.show(state, true);
  }

  show(state: NodeState, force = false): void {
    const changed = force || state.status !== this.state.status;
    this.state = state;
    if (!changed) return;
    const kept = ["sel", "far"].filter((name) => this.element.classList.contains(name));
    this.element.className = ["node", state.kind, state.status, ...kept].join(" ");
    this.icon.replaceChildren(glyph(state.status));
  }

  /** `now` in UTC microseconds of the server's clock. */
  tick(now: number): void {
    const { status, started, typical, note, word, address } = this.state;
    let words = note;
    let share = -1;
    if (status === "running" && started !== null) {
      const seconds = Math.max(0, (now - started) / 1e6);
      const spent = clock(seconds);
      words = typical ? text("%(spent)s of about %(typical)s", { spent, typical: clock(typical) }) : spent;
      share = typical ? Math.min(1, seconds / typical) : -1;
    }
    if (this.sub.textContent !== words) this.sub.textContent = words;
    this.bar.hidden = share < 0;
    if (share >= 0) this.fill.style.width = `${Math.round(share * 100)}%`;
    const label = `${address}: ${word}${words ? `, ${words}` : ""}`;
    if (status !== "running" && this.element.title !== label) this.element.title = label;
    if (this.element.getAttribute("aria-label") !== `${address}: ${word}`) {
      this.element.setAttribute("aria-label", `${address}: ${word}`);
    }
  }
}

export class Graph {
  private readonly world = part("div", "world");
  private readonly lines = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  private boxes = new Map<string, Box>();
  private paths: { from: string; to: string; path: SVGPathElement }[] = [];
  private drawing: Drawing = draw([], SIZE);
  private shape = "";
  private scale = 1;
  private x = 0;
  private y = 0;
  private touched = false;
  private skew = 0;
  private selected: string | null = null;

  constructor(
    private readonly host: HTMLElement,
    private readonly choose: (address: string) => void,
  ) {
    this.lines.setAttribute("aria-hidden", "true");
    this.world.append(this.lines as unknown as Node);
    host.append(this.world);
    host.setAttribute("role", "group");
    this.listen();
    let across = host.clientWidth;
    new ResizeObserver(() => {
      if (host.clientWidth !== across && !this.touched) this.fit();
      across = host.clientWidth;
    }).observe(host);
  }

  /** Shows a state; draws anew only when nodes or edges are others. `now` is the server's clock in microseconds. */
  update(nodes: readonly NodeState[], now: number): void {
    this.skew = now - Date.now() * 1000;
    const shape = JSON.stringify(nodes.map((node) => [node.address, node.upstream]));
    if (shape !== this.shape) {
      this.shape = shape;
      this.build(nodes);
    }
    for (const node of nodes) this.boxes.get(node.address)?.show(node);
    for (const { from, to, path } of this.paths) {
      const source = this.boxes.get(from)?.state.status;
      const target = this.boxes.get(to)?.state.status;
      path.setAttribute("class", target === "running" ? "hot" : source && ENDED.has(source) ? "done" : "");
    }
    this.tick();
  }

  tick(): void {
    const now = Date.now() * 1000 + this.skew;
    for (const box of this.boxes.values()) box.tick(now);
  }

  select(address: string | null): void {
    this.selected = address !== null && this.boxes.has(address) ? address : null;
    for (const [name, box] of this.boxes) {
      box.element.classList.toggle("sel", name === address);
      box.element.setAttribute("aria-pressed", String(name === address));
    }
  }

  private build(nodes: readonly NodeState[]): void {
    this.drawing = draw(nodes.map((node) => ({ id: node.address, upstream: node.upstream })), SIZE);
    this.boxes = new Map(
      nodes.map((node) => [node.address, new Box(node, this.drawing.nodes.get(node.address) ?? { x: 0, y: 0 })]),
    );
    this.lines.setAttribute("width", String(this.drawing.width));
    this.lines.setAttribute("height", String(this.drawing.height));
    this.paths = this.drawing.edges.map((edge) => {
      const { from, to } = edge;
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", this.curve(edge));
      return { from, to, path };
    });
    const frames = this.drawing.blocks.map((block) => {
      const frame = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const box = { x: block.x, y: block.y - FRAME, width: block.width, height: block.height + 2 * FRAME, rx: FRAME };
      for (const [name, value] of Object.entries(box)) frame.setAttribute(name, String(value));
      return frame;
    });
    this.lines.replaceChildren(...frames, ...this.paths.map(({ path }) => path));
    const order = [...this.boxes].sort(([a], [b]) => this.compare(a, b));
    this.world.replaceChildren(this.lines as unknown as Node, ...order.map(([, box]) => box.element));
    for (const [address, box] of this.boxes) {
      box.element.addEventListener("click", () => this.choose(address));
      box.element.addEventListener("keydown", (event) => this.walk(event, address));
    }
    this.fit();
  }

  private compare(a: string, b: string): number {
    const left = this.drawing.nodes.get(a)!;
    const right = this.drawing.nodes.get(b)!;
    return left.x - right.x || left.y - right.y;
  }

  private curve({ from, to, via, leave, enter }: Edge): string {
    const start = this.drawing.nodes.get(from)!;
    const end = this.drawing.nodes.get(to)!;
    const middle = SIZE.height / 2;
    let x = leave;
    let y = start.y + middle;
    let path = `M${leave} ${y}`;
    const bend = (toX: number, toY: number): void => {
      const half = (toX - x) / 2;
      path += `C${x + half} ${y} ${toX - half} ${toY} ${toX} ${toY}`;
      [x, y] = [toX, toY];
    };
    for (const point of via) {
      bend(point.x - SIZE.width / 2, point.y);
      x = point.x + SIZE.width / 2;
      path += `H${x}`;
    }
    bend(enter, end.y + middle);
    return path;
  }

  /** The whole graph, or as much of it as stays readable, beginning at the selected node. */
  fit(): void {
    this.touched = false;
    const { width, height } = this.drawing;
    const across = this.host.clientWidth - 2 * MARGIN;
    if (across <= 0 || !width) return;
    const least = this.boxes.size > MANY ? 0.3 : READABLE;
    const fitting = Math.max(least, Math.min(1, across / width));
    const tall = Math.round(Math.min(TALLEST, Math.max(SHORTEST, height * fitting + 2 * MARGIN)));
    if (this.host.style.height !== `${tall}px`) this.host.style.height = `${tall}px`;
    this.scale = Math.max(least, Math.min(fitting, (tall - 2 * MARGIN) / height));
    this.x = Math.max(MARGIN, (this.host.clientWidth - width * this.scale) / 2);
    this.y = Math.max(MARGIN, (tall - height * this.scale) / 2);
    this.apply();
    if (this.selected && width * this.scale > across) this.reveal(this.selected);
  }

  zoom(factor: number, at?: Point): void {
    const centre = at ?? { x: this.host.clientWidth / 2, y: this.host.clientHeight / 2 };
    const scale = Math.min(1.6, Math.max(0.12, this.scale * factor));
    this.x = centre.x - ((centre.x - this.x) * scale) / this.scale;
    this.y = centre.y - ((centre.y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.touched = true;
    this.apply();
  }

  private apply(): void {
    this.world.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.host.style.backgroundPosition = `${this.x}px ${this.y}px`;
    this.host.classList.toggle("plain", this.scale < PLAIN_BELOW);
  }

  private listen(): void {
    let from: { x: number; y: number; id: number } | null = null;
    this.host.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || (event.target instanceof Element && event.target.closest(".node"))) return;
      from = { x: event.clientX - this.x, y: event.clientY - this.y, id: event.pointerId };
      this.host.setPointerCapture(event.pointerId);
      this.host.classList.add("moving");
    });
    this.host.addEventListener("pointermove", (event) => {
      if (!from || event.pointerId !== from.id) return;
      [this.x, this.y] = [event.clientX - from.x, event.clientY - from.y];
      this.touched = true;
      this.apply();
    });
    const stop = (): void => {
      from = null;
      this.host.classList.remove("moving");
    };
    this.host.addEventListener("pointerup", stop);
    this.host.addEventListener("pointercancel", stop);
    this.host.addEventListener(
      "wheel",
      (event) => {
        // A plain wheel scrolls the page; with Ctrl (which a pinch sends, too) it zooms here.
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        const box = this.host.getBoundingClientRect();
        this.zoom(Math.exp(-event.deltaY / 300), { x: event.clientX - box.left, y: event.clientY - box.top });
      },
      { passive: false },
    );
  }

  /** Arrow keys go along the edges and inside a column. */
  private walk(event: KeyboardEvent, address: string): void {
    const here = this.drawing.nodes.get(address)!;
    let next: string | undefined;
    if (event.key === "ArrowRight") next = this.paths.find((edge) => edge.from === address)?.to;
    if (event.key === "ArrowLeft") next = this.paths.find((edge) => edge.to === address)?.from;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const sign = event.key === "ArrowDown" ? 1 : -1;
      next = [...this.drawing.nodes]
        .filter(([, at]) => at.x === here.x && (at.y - here.y) * sign > 0)
        .sort(([, a], [, b]) => Math.abs(a.y - here.y) - Math.abs(b.y - here.y))[0]?.[0];
    }
    if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 1.25 : 0.8);
    if (event.key === "0") this.fit();
    if (next === undefined) return;
    event.preventDefault();
    this.boxes.get(next)?.element.focus({ preventScroll: true });
    this.reveal(next);
  }

  private reveal(address: string): void {
    const at = this.drawing.nodes.get(address)!;
    const left = at.x * this.scale + this.x;
    const top = at.y * this.scale + this.y;
    const right = left + SIZE.width * this.scale - this.host.clientWidth;
    const bottom = top + SIZE.height * this.scale - this.host.clientHeight;
    this.x += left < 8 ? 8 - left : right > -8 ? -8 - right : 0;
    this.y += top < 8 ? 8 - top : bottom > -8 ? -8 - bottom : 0;
    this.apply();
  }
}

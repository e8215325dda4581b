/** News of a run: by WebSocket, and by plain requests where there is none or all seats are taken. */

import type { News } from "./types";

const FULL = 1013;
const REFUSED = 1008;
const POLL_SECONDS = 3;
const LONGEST_WAIT = 15;

export interface Place {
  readonly stage: string;
  readonly attempt: number;
  readonly line: number;
}

export class Live {
  private socket: WebSocket | null = null;
  private timer = 0;
  private failures = 0;
  private closed = false;
  private generation = 0;

  /** `place` tells where the reader stands whenever a connection begins. */
  constructor(
    private readonly run: string,
    private readonly place: () => Place,
    private readonly tell: (news: News) => void,
    private readonly connected: (is: boolean) => void,
  ) {
    this.open();
  }

  /** Begins again at the place where the reader stands now. */
  restart(): void {
    this.closed = false;
    this.drop();
    this.open();
  }

  private query(): string {
    const { stage, attempt, line } = this.place();
    return new URLSearchParams({ stage, attempt: String(attempt), line: String(line) }).toString();
  }

  private drop(): void {
    this.generation += 1;
    clearTimeout(this.timer);
    this.socket?.close();
    this.socket = null;
  }

  private open(): void {
    const generation = this.generation;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws/runs/${this.run}?${this.query()}`);
    this.socket = socket;
    socket.addEventListener("message", (event) => {
      if (generation !== this.generation) return;
      this.failures = 0;
      this.connected(true);
      const news = JSON.parse(String(event.data)) as News;
      if (news.type === "end") this.closed = true;
      else this.tell(news);
    });
    socket.addEventListener("close", (event) => {
      if (generation !== this.generation || this.closed || event.code === REFUSED) return;
      this.connected(false);
      this.failures += 1;
      if (event.code === FULL || this.failures > 3) this.timer = window.setTimeout(() => void this.poll(generation), 500);
      else this.timer = window.setTimeout(() => this.open(), Math.min(LONGEST_WAIT, 2 ** this.failures) * 250);
    });
  }

  private async poll(generation: number): Promise<void> {
    if (generation !== this.generation || this.closed) return;
    try {
      const answer = await fetch(`/ws/runs/${this.run}.json?${this.query()}`);
      if (generation !== this.generation) return;
      if (answer.ok) {
        this.connected(true);
        for (const news of (await answer.json()) as News[]) {
          this.tell(news);
          if (news.type === "state" && news.ended) this.closed = true;
        }
      }
    } catch {
      this.connected(false);
    }
    this.timer = window.setTimeout(() => void this.poll(generation), POLL_SECONDS * 1000);
  }
}

/** What the server tells of a run; written by refmill_web/views/live.py and refmill_web/logview.py. */

export type Status =
  | "pending" | "blocked" | "queued" | "running" | "cached" | "succeeded" | "failed" | "skipped" | "stopped"
  | "paused" | "superseded" | "nothing";

export interface NodeState {
  readonly address: string;
  readonly kind: "stage" | "data";
  readonly status: Status;
  readonly word: string;
  readonly note: string;
  readonly upstream: readonly string[];
  /** UTC microseconds. */
  readonly started: number | null;
  readonly seconds: number | null;
  readonly typical: number | null;
  readonly attempt: number;
}

export interface RunState {
  readonly type: "state";
  readonly status: Status;
  readonly word: string;
  readonly headline: string;
  readonly started: number | null;
  readonly finished: number | null;
  readonly now: number;
  readonly ended: boolean;
  /** Whether a stage waits for somebody's consent. */
  readonly asks: boolean;
  readonly done: number;
  readonly total: number;
  readonly left: string;
  /** Another word when running stages have written other metrics. */
  readonly figures: string;
  readonly nodes: readonly NodeState[];
}

export interface LogRow {
  readonly n: number;
  readonly t: number;
  readonly s: "out" | "err" | "note";
  readonly w: boolean;
  readonly p: readonly { readonly c: string; readonly t: string }[];
}

export interface LogNews {
  readonly type: "log";
  readonly attempt: number;
  readonly rows: readonly LogRow[];
  readonly next: number;
  readonly complete: boolean;
}

export type News = RunState | LogNews | { readonly type: "end" };

export const ENDED: ReadonlySet<Status> = new Set(["cached", "succeeded", "failed", "skipped", "stopped"]);

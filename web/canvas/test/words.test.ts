import { describe, expect, it } from "vitest";
import { ago, clock, duration } from "../src/format";
import { text } from "../src/messages";

describe("text", () => {
  it("fills places and keeps what has no value", () => {
    expect(text("%(a)s of %(b)s, 100 %%", { a: 1 })).toBe("1 of %(b)s, 100 %");
  });
});

describe("times", () => {
  it("are written as the server writes them", () => {
    expect([0.24, 9.96, 41.2, 72, 7500].map(duration)).toEqual(["0.2 s", "10 s", "41 s", "1 m 12 s", "2 h 05 m"]);
  });

  it("of a running clock do not flicker", () => {
    expect([0.4, 3.9, 12.4].map(clock)).toEqual(["0 s", "3 s", "12 s"]);
  });

  it("ago is in the page's language", () => {
    expect(ago(10, "en")).toBe("just now");
    expect(ago(120, "en")).toBe("2 minutes ago");
    expect(ago(7200, "zh-CN")).toContain("2小时前");
  });
});

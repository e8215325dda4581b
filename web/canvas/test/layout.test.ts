import { expect, test } from "vitest";

import { clock, duration } from "../src/format";
import { draw } from "../src/layout";

const MEASURES = { width: 100, height: 40, gapX: 50, gapY: 20 };

test("what a node needs stands to its left", () => {
  const items = [
    { id: "end", upstream: ["left", "right"] },
    { id: "left", upstream: ["start"] },
    { id: "right", upstream: ["start"] },
    { id: "start", upstream: [] },
  ];
  const drawing = draw(items, MEASURES);
  for (const item of items)
    for (const above of item.upstream)
      expect(drawing.nodes.get(above)!.x + MEASURES.width).toBeLessThan(drawing.nodes.get(item.id)!.x + 1);
  expect(drawing.nodes.size).toBe(4);
  expect(drawing.edges.length).toBe(4);
});

test("no two nodes overlap, however many there are", () => {
  const items = Array.from({ length: 200 }, (_, index) => ({
    id: `n${index}`,
    upstream: index < 10 ? [] : [`n${(index * 7) % 10}`, `n${Math.floor(index / 2)}`],
  }));
  const placed = [...draw(items, MEASURES).nodes.values()];
  expect(placed.length).toBe(200);
  for (const [index, one] of placed.entries())
    for (const other of placed.slice(index + 1))
      expect(Math.abs(one.x - other.x) >= MEASURES.width || Math.abs(one.y - other.y) >= MEASURES.height).toBe(true);
});

test("nothing is drawn of nothing", () => {
  expect(draw([], MEASURES).nodes.size).toBe(0);
});

test("durations read as people say them", () => {
  expect(duration(0.24)).toBe("0.2 s");
  expect(duration(72)).toBe("1 m 12 s");
  expect(clock(41)).toBe("41 s");
});

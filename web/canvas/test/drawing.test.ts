import { expect, test } from "vitest";

import { draw, type Drawing, type Item } from "../src/layout";

const MEASURES = { width: 100, height: 50, gapX: 40, gapY: 20 };
const item = (id: string, ...upstream: string[]): Item => ({ id, upstream });
const at = (drawing: Drawing, id: string): { x: number; y: number } => drawing.nodes.get(id)!;

test("a chain is a straight line", () => {
  const drawing = draw([item("a"), item("b", "a"), item("c", "b")], MEASURES);
  expect(new Set([...drawing.nodes.values()].map((point) => point.y))).toEqual(new Set([0]));
  expect([drawing.width, drawing.height]).toEqual([380, 50]);
});

test("what folds a wide layer stands near its middle", () => {
  const models = Array.from({ length: 30 }, (_, index) => item(`train@${index}`, "prepare"));
  const drawing = draw([item("prepare"), ...models, item("evaluate", ...models.map((one) => one.id))], MEASURES);
  expect(Math.abs(at(drawing, "evaluate").y + 25 - drawing.height / 2)).toBeLessThan(drawing.height / 4);
});

test("a long edge is led around the nodes between", () => {
  const drawing = draw([item("a"), item("b", "a"), item("c", "b", "a")], MEASURES);
  const edge = drawing.edges.find((one) => one.from === "a" && one.to === "c")!;
  expect(edge.via).toHaveLength(1);
  const b = at(drawing, "b");
  const y = edge.via[0]!.y;
  expect(y < b.y || y > b.y + MEASURES.height).toBe(true);
});

test("edges do not cross where another order avoids it", () => {
  const drawing = draw([item("a"), item("b"), item("x", "b"), item("y", "a")], MEASURES);
  expect(at(drawing, "a").y < at(drawing, "b").y).toBe(at(drawing, "y").y < at(drawing, "x").y);
});

test("a late source stands beside its reader", () => {
  const drawing = draw([item("a"), item("b", "a"), item("c", "b", "late"), item("late")], MEASURES);
  expect(at(drawing, "late").x).toBe(at(drawing, "b").x);
});

test("names that are not there, a node that needs itself, and a cycle do no harm", () => {
  expect(draw([item("a", "a", "ghost"), item("b", "c"), item("c", "b")], MEASURES).nodes.size).toBe(3);
});

test("a thousand stages are quick", () => {
  const stages = Array.from({ length: 1000 }, (_, index) =>
    item(`s${index}`, ...(index < 40 ? [] : [`s${index - 40}`, `s${index - 39 - (index % 3)}`])),
  );
  const started = performance.now();
  expect(draw(stages, MEASURES).nodes.size).toBe(1000);
  expect(performance.now() - started).toBeLessThan(1500);
});

test("many alike nodes make a block of several columns, not a tower", () => {
  const models = Array.from({ length: 40 }, (_, index) => item(`train@${index}`, "prepare"));
  const drawing = draw([item("prepare"), ...models, item("evaluate", ...models.map((one) => one.id))], MEASURES);
  expect(new Set(models.map((one) => at(drawing, one.id).x)).size).toBe(4);
  expect(drawing.height).toBeLessThan(800);
  const right = Math.max(...models.map((one) => at(drawing, one.id).x));
  expect(at(drawing, "evaluate").x).toBe(right + MEASURES.width + MEASURES.gapX);
  const places = new Set([...drawing.nodes.values()].map(({ x, y }) => `${x},${y}`));
  expect(places.size).toBe(42);
});

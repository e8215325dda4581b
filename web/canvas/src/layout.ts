/** A layered drawing of a DAG from left to right: longest path for the layers, barycentre sweeps for the order inside
 * them, least squares for the heights. Long edges run through waypoints, so that they go around nodes. */

export interface Item {
  readonly id: string;
  readonly upstream: readonly string[];
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** From `leave` over the waypoints' centres to `enter`: the sides of two nodes, or of the blocks in which they lie. */
export interface Edge {
  readonly from: string;
  readonly to: string;
  readonly via: readonly Point[];
  readonly leave: number;
  readonly enter: number;
}

export interface Drawing {
  readonly width: number;
  readonly height: number;
  /** Top left corner of each node. */
  readonly nodes: ReadonlyMap<string, Point>;
  readonly edges: readonly Edge[];
  /** Layers of so many nodes that they stand in several columns. */
  readonly blocks: readonly (Point & { readonly width: number; readonly height: number })[];
}

export interface Measures {
  readonly width: number;
  readonly height: number;
  readonly gapX: number;
  readonly gapY: number;
}

interface Cell {
  readonly id: string;
  readonly real: boolean;
  layer: number;
  order: number;
  y: number;
  /** In a wide layer several nodes share a row: the others of this one's row, and which place it has there. */
  mates: Cell[];
  column: number;
  readonly before: Cell[];
  readonly after: Cell[];
}

const SWEEPS = 8;
/** Odd: the last one goes from right to left, which leaves chains at the left end straight. */
const PLACINGS = 25;
const WAYPOINTS = 4000;
const WIDE = 12;

export function draw(items: readonly Item[], measures: Measures): Drawing {
  const cells = new Map<string, Cell>(items.map((item) => [item.id, cell(item.id, true)]));
  const links = items.flatMap((item) =>
    item.upstream.flatMap((from) => {
      const source = cells.get(from);
      const target = cells.get(item.id);
      return source && target && source !== target ? [{ source, target }] : [];
    }),
  );
  assignLayers([...cells.values()], links);
  const all = [...cells.values()];
  const spans = links.reduce((sum, link) => sum + Math.max(0, link.target.layer - link.source.layer - 1), 0);
  const routes = links.map((link) => ({ ...link, via: spans <= WAYPOINTS ? waypoints(link.source, link.target, all) : [] }));
  for (const { source, target, via } of routes) {
    const chain = [source, ...via, target];
    for (let index = 1; index < chain.length; index += 1) {
      chain[index]!.before.push(chain[index - 1]!);
      chain[index - 1]!.after.push(chain[index]!);
    }
  }
  const layers = byLayer(all);
  orderLayers(layers);
  placeCells(layers.map(foldWide), measures);
  return drawing(layers, cells, routes, measures);
}

function cell(id: string, real: boolean): Cell {
  return { id, real, layer: 0, order: 0, y: 0, mates: [], column: 0, before: [], after: [] };
}

/** Longest path from the sources; what is on a cycle (which a valid plan has none of) stays where it is. */
function assignLayers(cells: Cell[], links: readonly { source: Cell; target: Cell }[]): void {
  const waiting = new Map<Cell, number>(cells.map((one) => [one, 0]));
  const after = new Map<Cell, Cell[]>();
  for (const { source, target } of links) {
    waiting.set(target, waiting.get(target)! + 1);
    after.set(source, [...(after.get(source) ?? []), target]);
  }
  const ready = cells.filter((one) => waiting.get(one) === 0);
  for (let index = 0; index < ready.length; index += 1) {
    const source = ready[index]!;
    for (const target of after.get(source) ?? []) {
      target.layer = Math.max(target.layer, source.layer + 1);
      const left = waiting.get(target)! - 1;
      waiting.set(target, left);
      if (left === 0) ready.push(target);
    }
  }
  // A source with one reader far to the right stands beside that reader instead of at the far left.
  for (let index = ready.length - 1; index >= 0; index -= 1) {
    const source = ready[index]!;
    const targets = after.get(source) ?? [];
    const fed = links.some((link) => link.target === source);
    if (!fed && targets.length > 0) source.layer = Math.min(...targets.map((target) => target.layer)) - 1;
  }
}

function waypoints(source: Cell, target: Cell, all: Cell[]): Cell[] {
  const made: Cell[] = [];
  for (let layer = source.layer + 1; layer < target.layer; layer += 1) {
    const point = cell("", false);
    point.layer = layer;
    made.push(point);
    all.push(point);
  }
  return made;
}

function byLayer(all: readonly Cell[]): Cell[][] {
  const layers: Cell[][] = [];
  for (const one of all) (layers[one.layer] ??= []).push(one);
  for (let index = 0; index < layers.length; index += 1) {
    const layer = (layers[index] ??= []);
    layer.forEach((one, order) => (one.order = order));
  }
  return layers;
}

const mean = (values: readonly number[], otherwise: number): number =>
  values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : otherwise;

function orderLayers(layers: readonly Cell[][]): void {
  let best = crossings(layers);
  let kept = layers.map((layer) => [...layer]);
  for (let sweep = 0; sweep < SWEEPS && best > 0; sweep += 1) {
    const down = sweep % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) {
      const weight = new Map(
        layer.map((one) => [one, mean((down ? one.before : one.after).map((other) => other.order), one.order)]),
      );
      layer.sort((a, b) => weight.get(a)! - weight.get(b)! || a.order - b.order);
      layer.forEach((one, order) => (one.order = order));
    }
    const found = crossings(layers);
    if (found < best) {
      best = found;
      kept = layers.map((layer) => [...layer]);
    }
  }
  kept.forEach((layer, index) => {
    layers[index]!.splice(0, layer.length, ...layer);
    layer.forEach((one, order) => (one.order = order));
  });
}

/** How many pairs of edges cross, counted by inversions between neighbouring layers. */
export function crossings(layers: readonly (readonly Cell[])[]): number {
  let sum = 0;
  for (const layer of layers) {
    const ends = layer.flatMap((one) => one.after.map((other) => other.order).sort((a, b) => a - b));
    if (ends.length > 2000) return Math.min(sum + 1, Number.MAX_SAFE_INTEGER);
    for (let i = 0; i < ends.length; i += 1) for (let j = i + 1; j < ends.length; j += 1) if (ends[i]! > ends[j]!) sum += 1;
  }
  return sum;
}

/** A layer of many nodes becomes a block of several columns; what comes back has one cell for each row. */
function foldWide(layer: readonly Cell[]): Cell[] {
  const real = layer.filter((one) => one.real);
  if (real.length <= WIDE) return [...layer];
  const columns = Math.ceil(Math.sqrt(real.length / 3.5));
  const heads = new Set<Cell>();
  real.forEach((one, index) => {
    one.column = index % columns;
    if (one.column === 0) {
      heads.add(one);
      one.mates = real.slice(index + 1, index + columns);
    }
  });
  return layer.filter((one) => !one.real || heads.has(one));
}

function placeCells(layers: readonly Cell[][], measures: Measures): void {
  for (const layer of layers) spread(layer, layer.map((one) => one.order * (measures.height + measures.gapY)), measures);
  for (let sweep = 0; sweep < PLACINGS; sweep += 1) {
    for (const layer of sweep % 2 ? layers : [...layers].reverse()) {
      spread(layer, layer.map((one) => mean([...one.before, ...one.after].map((other) => other.y), one.y)), measures);
    }
  }
}

/** The heights nearest to `wanted` (least squares) that keep the order and the distance: pooling of violators. */
function spread(layer: readonly Cell[], wanted: readonly number[], measures: Measures): void {
  const room = (one: Cell): number => (one.real ? measures.height + measures.gapY : measures.gapY * 1.4);
  const offsets: number[] = [];
  layer.forEach((one, index) => {
    offsets.push(index ? offsets[index - 1]! + (room(layer[index - 1]!) + room(one)) / 2 : 0);
  });
  const blocks: { value: number; weight: number; count: number }[] = [];
  layer.forEach((one, index) => {
    const weight = one.real ? 1 : 0.3;
    blocks.push({ value: wanted[index]! - offsets[index]!, weight, count: 1 });
    while (blocks.length > 1 && blocks.at(-2)!.value > blocks.at(-1)!.value) {
      const last = blocks.pop()!;
      const previous = blocks.pop()!;
      const sum = last.weight + previous.weight;
      const value = (last.value * last.weight + previous.value * previous.weight) / sum;
      blocks.push({ value, weight: sum, count: last.count + previous.count });
    }
  });
  const settled = blocks.flatMap((block) => Array<number>(block.count).fill(block.value));
  layer.forEach((one, index) => {
    one.y = settled[index]! + offsets[index]!;
    for (const mate of one.mates) mate.y = one.y;
  });
}

function drawing(
  layers: readonly Cell[][],
  cells: ReadonlyMap<string, Cell>,
  routes: readonly { source: Cell; target: Cell; via: readonly Cell[] }[],
  measures: Measures,
): Drawing {
  const all = layers.flat();
  const top = all.length ? Math.min(...all.map((one) => one.y)) : 0;
  const bottom = all.length ? Math.max(...all.map((one) => one.y)) : 0;
  const step = measures.width + measures.gapY;
  const starts: number[] = [];
  const ends: number[] = [];
  let width = 0;
  for (const layer of layers) {
    starts.push(width);
    width += Math.max(0, ...layer.map((one) => one.column)) * step + measures.width;
    ends.push(width);
    width += measures.gapX;
  }
  const left = (one: Cell): number => starts[one.layer]! + one.column * step;
  const round = (value: number): number => Math.round(value * 2) / 2;
  const blocks = layers.flatMap((layer, index) => {
    if (!layer.some((one) => one.column > 0)) return [];
    const heights = layer.filter((one) => one.real).map((one) => one.y);
    const highest = Math.min(...heights);
    const height = Math.max(...heights) - highest + measures.height;
    return [{ x: starts[index]!, y: round(highest - top), width: ends[index]! - starts[index]!, height }];
  });
  return {
    blocks,
    width: Math.max(0, width - measures.gapX),
    height: all.length ? bottom - top + measures.height : 0,
    nodes: new Map([...cells].map(([id, one]) => [id, { x: left(one), y: round(one.y - top) }])),
    edges: routes.map(({ source, target, via }) => ({
      from: source.id,
      to: target.id,
      leave: ends[source.layer]!,
      enter: starts[target.layer]!,
      via: via.map((point) => ({ x: left(point) + measures.width / 2, y: round(point.y - top + measures.height / 2) })),
    })),
  };
}

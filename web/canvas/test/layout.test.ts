import { expect, test } from "vitest";

import * as layout from "../src/layout";

test("the module draws", () => {
  expect(Object.keys(layout).length).toBeGreaterThan(0);
});

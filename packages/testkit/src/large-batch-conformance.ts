import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { emptyBatch, type Driver, type NewRow } from "@k3s/datastore";
import { creations } from "./store-ops.ts";
import { TurnCounter } from "./turn-counter.ts";

const ROWS = 8000;
/** A part has a thousand rows, and each name is looked at a few times. */
const MAX_LOOKS = 3000;

/** That a database of SQL writes a large batch without holding the event loop, as a test. */
export function largeBatchConformance(open: (t: TestContext) => Promise<Driver>): void {
  test("brings a large batch into form part by part, with the event loop free in between", async (t) => {
    const driver = await open(t);
    const looks = new TurnCounter();
    const names = Array.from({ length: ROWS }, (_, i) => `/many/${i}`);
    const rows = creations(0, ...names).rows.map(({ name, ...rest }): NewRow => ({
      ...rest,
      get name() {
        looks.add();
        return name;
      },
    }));
    await driver.commit({ ...emptyBatch, rows });
    assert.ok(looks.most <= MAX_LOOKS, `a turn looks at ${looks.most} names`);
    assert.equal((await driver.shared?.position())?.lastRow, ROWS);
  });
}

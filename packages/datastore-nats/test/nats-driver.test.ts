import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nothing, ofKind, row } from "./support/rows.ts";
import { openDriver, startNats } from "./support/nats-fixture.ts";

describe("NatsDriver", () => {
  test("writes and reads", async (t) => {
    const server = await startNats(t);
    const driver = await openDriver(t, server);
    assert.deepEqual(await driver.heads(0, 10), []);
    await driver.commit({ ...nothing, rows: [row(1, "/a"), row(2, "/b", { ttlSeconds: 60 }), row(3, "x")] });
    assert.deepEqual(
      (await driver.heads(0, 10)).map(({ id, name }) => [id, name]),
      [
        [1, "/a"],
        [2, "/b"],
        [3, "x"],
      ],
    );
    assert.deepEqual((await driver.values([3, 1, 9])).map(String), ["value 3", "value 1", "undefined"]);
    await assert.rejects(driver.commit({ ...nothing, after: 2, rows: [row(3, "/c")] }), ofKind("conflict"));
    await driver.commit({ ...nothing, after: 3, rows: [row(4, "/c"), row(5, "/d")], spans: [{ first: 4, last: 5 }] });
    const other = await openDriver(t, server);
    console.log(await other.side(), await other.heads(0, 3), await other.heads(3, 3));
    console.log(await other.shared?.position(), JSON.stringify(await other.shared?.changes(2, 10)));
  });
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { realStore } from "./support.ts";

describe("bootstrapStoreOn()", () => {
  test("creates a key once, updates and deletes it at its revision only, on a real store", async (t) => {
    const { bootstrap } = await realStore(t);
    assert.deepEqual(await bootstrap.list("/bootstrap"), []);
    assert.equal(await bootstrap.create("/bootstrap/a", ""), true);
    assert.equal(await bootstrap.create("/bootstrap/a", "again"), false);
    const [created] = await bootstrap.list("/bootstrap");
    assert.ok(created);
    assert.deepEqual([created.key, created.value], ["/bootstrap/a", ""]);
    assert.equal(await bootstrap.update("/bootstrap/a", "new", created.modRevision + 1), false);
    assert.equal(await bootstrap.update("/bootstrap/a", "new", created.modRevision), true);
    const [updated] = await bootstrap.list("/bootstrap");
    assert.equal(updated?.value, "new");
    assert.equal(await bootstrap.delete("/bootstrap/a", created.modRevision), false);
    assert.equal(await bootstrap.delete("/bootstrap/a", updated?.modRevision ?? 0), true);
    assert.deepEqual(await bootstrap.list("/bootstrap"), []);
  });

  test("lists the keys with the prefix and no neighbours", async (t) => {
    const { bootstrap } = await realStore(t);
    for (const key of ["/bootstraq", "/bootstrap/b", "/bootstrao", "/bootstrap/a", "/registry/x"])
      await bootstrap.create(key, key);
    assert.deepEqual(
      (await bootstrap.list("/bootstrap")).map(({ key }) => key),
      ["/bootstrap/a", "/bootstrap/b"],
    );
  });
});

import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { findNodeId, saveNodeId } from "../src/node-id.ts";
import { temporaryFolder } from "./fixtures.ts";

describe("findNodeId()", () => {
  test("makes eight hex digits and writes nothing", async (t) => {
    const path = join(await temporaryFolder(t), "node/id");
    const { id, isNew } = await findNodeId(path);
    assert.match(id, /^[0-9a-f]{8}$/);
    assert.equal(isNew, true);
    await assert.rejects(stat(path), { code: "ENOENT" });
  });

  test("takes an id of k3s over, and makes one where the file is empty", async (t) => {
    const path = join(await temporaryFolder(t), "id");
    await writeFile(path, "0badcafe\n");
    assert.deepEqual(await findNodeId(path), { id: "0badcafe", isNew: false });
    await writeFile(path, "\n");
    assert.equal((await findNodeId(path)).isNew, true);
  });
});

describe("saveNodeId()", () => {
  test("keeps a new id in a file that everybody may read", async (t) => {
    const path = join(await temporaryFolder(t), "node/id");
    await saveNodeId({ newNodeId: "0badcafe" }, path);
    assert.equal(await readFile(path, "utf8"), "0badcafe\n");
    assert.equal((await stat(path)).mode & 0o777, 0o644);
    assert.deepEqual(await findNodeId(path), { id: "0badcafe", isNew: false });
  });

  test("writes nothing when there is no new one", async (t) => {
    const path = join(await temporaryFolder(t), "id");
    await saveNodeId({ newNodeId: undefined }, path);
    await assert.rejects(stat(path), { code: "ENOENT" });
  });

  test("says which file cannot be written", async (t) => {
    const folder = await temporaryFolder(t);
    await writeFile(join(folder, "node"), "");
    const path = join(folder, "node/id");
    await assert.rejects(saveNodeId({ newNodeId: "0badcafe" }, path), {
      code: "ERR_NODE_ID_UNWRITABLE",
      message: `Cannot write the id of this machine to "${path}"`,
    });
  });
});

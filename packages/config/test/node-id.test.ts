import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { ensureNodeId } from "../src/node-id.ts";
import { temporaryFolder } from "./fixtures.ts";

test("ensureNodeId() makes eight hex digits once, in a file that everybody may read", async (t) => {
  const path = join(await temporaryFolder(t), "node/id");
  const id = await ensureNodeId(path);
  assert.match(id, /^[0-9a-f]{8}$/);
  assert.equal(await readFile(path, "utf8"), `${id}\n`);
  assert.equal((await stat(path)).mode & 0o777, 0o644);
  assert.equal(await ensureNodeId(path), id);
});

test("ensureNodeId() takes an id of k3s over, and makes one where the file is empty", async (t) => {
  const path = join(await temporaryFolder(t), "id");
  await writeFile(path, "0badcafe\n");
  assert.equal(await ensureNodeId(path), "0badcafe");
  await writeFile(path, "\n");
  assert.match(await ensureNodeId(path), /^[0-9a-f]{8}$/);
});

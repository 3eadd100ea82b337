import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { prepareBootstrap, saveBootstrap, type BootstrapStore } from "../src/index.ts";
import type { Claim } from "../src/prepare-bootstrap.ts";
import { claimOf, listFiles, makeServerDir, put, realStore, recordingLogger } from "./support.ts";

const POLICY = { pollMs: 5, attemptTimeoutMs: 10_000, lockPatience: 1 };

async function setUp(t: TestContext) {
  const { bootstrap: store } = await realStore(t);
  const signal = AbortSignal.timeout(30_000);
  const serverDir = await makeServerDir(t);
  const { log } = recordingLogger();
  return { store, serverDir, options: { store, serverDir, token: "secret", log, signal, policy: POLICY } };
}

describe("a server that is paused while it holds the lock", () => {
  for (const wakes of ["before the other saves", "after the other has saved", "while it saves itself"] as const) {
    test(`takes the identity of the one that took the lock away when it wakes ${wakes}`, async (t) => {
      const { store, options, serverDir } = await setUp(t);
      await rm(join(serverDir, "tls/server-ca.crt"));
      const before = await listFiles(serverDir);
      const first = await claimOf(options);
      await put(join(serverDir, "tls/server-ca.crt"), "made by the first");
      await put(join(serverDir, "cred/passwd"), "made by the first");

      const second = { ...options, serverDir: await makeServerDir(t, 50) };
      const other: { claim?: Claim } = {};
      const lock = async () => void (other.claim = await claimOf(second));
      const save = () => saveBootstrap({ ...second, lockRevision: other.claim?.lockRevision ?? 0 });
      const interrupted: BootstrapStore = {
        ...store,
        update: async (...write) => {
          await lock();
          assert.equal(await save(), "replaced");
          return store.update(...write);
        },
      };
      if (wakes !== "while it saves itself") await lock();
      if (wakes === "after the other has saved") assert.equal(await save(), "replaced");
      const { lockRevision } = first;
      const target = wakes === "while it saves itself" ? interrupted : store;
      assert.equal(await saveBootstrap({ ...options, store: target, lockRevision }), "lost");
      if (wakes === "before the other saves") assert.equal(await save(), "replaced");
      const records = await store.list("/bootstrap");

      await first.withdraw();
      const names = ([name, { text }]: readonly [string, { readonly text: string }]) => [name, text];
      assert.deepEqual([...(await listFiles(serverDir))].map(names), [...before].map(names));
      assert.equal((await prepareBootstrap(options)).kind, "reconciled");
      assert.deepEqual(
        [...(await listFiles(serverDir))].map(names),
        [...(await listFiles(second.serverDir))].map(names),
      );
      assert.deepEqual(await store.list("/bootstrap"), records);
    });
  }

  test("creates no record of its own where there was no lock and another server was first", async (t) => {
    const { store, options } = await setUp(t);
    const { lockRevision } = await claimOf({ ...options, token: undefined });
    assert.equal(await saveBootstrap(options), "created");
    const records = await store.list("/bootstrap");
    assert.equal(await saveBootstrap({ ...options, lockRevision }), "lost");
    const late: BootstrapStore = { ...store, list: () => Promise.resolve([]) };
    assert.equal(await saveBootstrap({ ...options, store: late, lockRevision }), "lost");
    assert.deepEqual(await store.list("/bootstrap"), records);
  });
});

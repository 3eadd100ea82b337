import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { BootstrapStore } from "@k3s/bootstrap-data";
import { createLogger } from "@k3s/log";
import { caHash } from "@k3s/token";
import { serverTlsPaths } from "@k3s/pki";
import { datastorePart } from "../src/datastore-part.ts";
import { ServerState } from "../src/server-state.ts";
import { loadConfig } from "./support/load-config.ts";

const context = { signal: AbortSignal.timeout(120_000), lost: () => assert.fail("lost") };

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-server-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A server's identity with files of its own, on a datastore that others may be given too. */
async function stateOf(t: TestContext) {
  const lines: string[] = [];
  const log = createLogger({ level: "info", format: "json", write: (line) => void lines.push(line) });
  const config = await loadConfig({ "data-dir": await temporaryFolder(t), token: "hunter2" });
  const start = (store: BootstrapStore) =>
    new ServerState({
      config,
      store: () => store,
      isShared: false, // finds every lock abandoned at once
      apiServerUrl: "https://127.0.0.1:6444",
      log,
    }).start(context);
  const { serverDir } = config.paths;
  const ca = () => readFile(serverTlsPaths(serverDir).serverCa.cert, "utf8");
  return { config, log, lines, serverDir, ca, start };
}

test("ServerState takes over the identity that another server stored while this one was paused", async (t) => {
  const [paused, other] = [await stateOf(t), await stateOf(t)];
  const datastore = datastorePart(paused.config, { log: paused.log, env: {} });
  t.after(() => datastore.component.stop(AbortSignal.abort()));
  await datastore.component.start(context);
  const store = datastore.bootstrapStore();
  const overtaken = Promise.withResolvers<string>();
  let isPaused = false;
  await paused.start({
    ...store,
    update: async (...write) => {
      if (!isPaused) {
        isPaused = true;
        overtaken.resolve(await paused.ca());
        await other.start(store);
      }
      return store.update(...write);
    },
  });
  const [record, ...more] = await store.list("/bootstrap");
  assert.deepEqual(more, []);

  const ca = await other.ca();
  assert.notEqual(await overtaken.promise, ca);
  assert.equal(await paused.ca(), ca);
  const token = await readFile(join(paused.serverDir, "token"), "utf8");
  assert.ok(token.startsWith(`K10${caHash(Buffer.from(ca))}::server:hunter2`), token);
  assert.ok(paused.lines.some((line) => line.includes("another server made the identity")));

  // Nothing is left of the other CA: a later start finds nothing to make and nothing to store.
  const leaf = serverTlsPaths(paused.serverDir).clientAdmin.cert;
  const { mtimeMs } = await stat(leaf);
  await paused.start(store);
  assert.equal((await stat(leaf)).mtimeMs, mtimeMs);
  assert.deepEqual(await store.list("/bootstrap"), [record]);
});

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { createLogger } from "@k3s/log";
import { MetricsRegistry } from "@k3s/metrics";
import type { DatastoreOptions } from "../src/datastore.ts";
import { Datastore, parseEndpoint } from "../src/index.ts";

const never = new AbortController().signal;

async function datastore(t: TestContext, options: Partial<DatastoreOptions> = {}): Promise<Datastore> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-server-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const log = createLogger({ level: "error", format: "json", write: () => undefined });
  const endpoint = parseEndpoint("");
  if (endpoint.kind === "etcd") assert.fail();
  const store = new Datastore({ endpoint, folder, tls: {}, metrics: new MetricsRegistry(), env: {}, log, ...options });
  t.after(() => store.stop(never));
  return store;
}

async function started(component: Datastore): Promise<Datastore> {
  await component.start({ signal: never });
  return component;
}

describe("Datastore", () => {
  test("can be used and answers for its health between start and stop", async (t) => {
    const store = await datastore(t);
    await assert.rejects(store.checkHealth(), /it is not open/);
    await store.start({ signal: never });
    await store.checkHealth();
    assert.ok((await store.store.status()).dbSizeBytes > 0);
    await store.stop(AbortSignal.abort());
    await assert.rejects(store.checkHealth(), /it is not open/);
    await store.start({ signal: never }); // the file was given back
  });

  for (const { healthKey, revision } of [
    { healthKey: true, revision: 2 },
    { healthKey: false, revision: 1 },
  ])
    test(`begins at revision ${revision} ${healthKey ? "with" : "without"} kine's health key`, async (t) => {
      const { store } = await started(await datastore(t, { healthKey }));
      assert.equal(store.currentRevision, revision);
    });

  test("hears during its start that it is to end, and gives the file back", async (t) => {
    const store = await datastore(t);
    const request = new AbortController();
    const starting = store.start({ signal: request.signal });
    request.abort(new Error("Received SIGINT"));
    await assert.rejects(starting, { message: "Received SIGINT" });
    await store.start({ signal: never });
  });
});

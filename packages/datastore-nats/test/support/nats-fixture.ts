import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { openStore, type Driver, type OpenStore } from "@k3s/datastore";
import { createLogger, type Logger } from "@k3s/log";
import { NatsServer, type NatsServerOptions } from "@k3s/testkit";
import { openNatsDriver } from "../../src/index.ts";

/** A new nats-server that ends with the test. */
export async function startNats(t: TestContext, options: NatsServerOptions = {}): Promise<NatsServer> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-nats-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const server = await NatsServer.start(folder, options);
  t.after(() => server.stop());
  return server;
}

/** A driver on the bucket `kine` that is closed with the test. */
export async function openDriver(t: TestContext, server: NatsServer, parameters = ""): Promise<Driver> {
  const driver = await openNatsDriver({
    endpoint: `nats://${server.endpoint}${parameters}`,
    log: quietLog(),
    signal: t.signal,
  });
  t.after(() => driver.close());
  return driver;
}

/** Nothing that a test does is worth a line. */
export function quietLog(): Logger {
  return createLogger({ level: "error", format: "text", write: () => undefined });
}

/** A store with kine's health key over a driver of its own; closed with the test. */
export async function openTestStore(t: TestContext, server: NatsServer, parameters = ""): Promise<OpenStore> {
  const driver = await openNatsDriver({
    endpoint: `nats://${server.endpoint}${parameters}`,
    log: quietLog(),
    signal: t.signal,
  });
  const store = await openStore(driver, { log: quietLog(), healthKey: true });
  t.after(() => store.close());
  return store;
}

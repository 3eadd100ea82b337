import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { Datastore, parseEndpoint } from "@k3s/datastore-endpoint";
import { EtcdApiServer } from "@k3s/etcd-api";
import type { EtcdClientOptions } from "@k3s/etcd-client";
import type { Component } from "@k3s/lifecycle";
import { createLogger } from "@k3s/log";
import { MetricsRegistry } from "@k3s/metrics";

/** As several servers have it in common. */
export interface SharedDatastore {
  readonly isShared: true;
  readonly etcdAccess: EtcdClientOptions;
}

const log = createLogger({ level: "error", format: "text", write: (line) => process.stderr.write(line) });

/** The product's etcd API on a file, until the test ends. */
export async function startDatastore(t: TestContext): Promise<SharedDatastore> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-shared-"));
  const started: Pick<Component, "stop">[] = [];
  t.after(async () => {
    for (const component of started.reverse()) await component.stop(AbortSignal.abort());
    await rm(folder, { recursive: true, force: true });
  });
  const endpoint = parseEndpoint("");
  if (endpoint.kind === "etcd") throw new Error("Cannot serve an etcd: it serves itself");
  const options = { folder, tls: {}, endpoint, metrics: new MetricsRegistry(), env: {}, healthKey: true, log };
  const datastore = new Datastore(options);
  const context = { signal: AbortSignal.timeout(60_000), lost: (error: Error) => log.error({ error }, "lost") };
  started.push(datastore);
  await datastore.start(context);
  const socketPath = join(folder, "kine.sock");
  const api = new EtcdApiServer({ store: () => datastore.store, socketPath, memberName: "one", log });
  started.push(api);
  await api.start(context);
  return { isShared: true, etcdAccess: { servers: [`unix://${socketPath}`] } };
}

// Our datastore as a process of its own, so that its memory and its processor time can be told from those of the load.
import { openStore, type Driver } from "@k3s/datastore";
import { openDatastore, parseEndpoint } from "@k3s/datastore-endpoint";
import { EtcdApiServer } from "@k3s/etcd-api";
import { createLogger } from "@k3s/log";
import { answerQuestions } from "./datastore/answer-questions.ts";
import { BlockMeter } from "./datastore/block-meter.ts";
import type { StoreServerOptions } from "./datastore/target.ts";
import { UnstoredDriver } from "./datastore/unstored-driver.ts";

const { endpoint: text, folder, transport } = JSON.parse(process.argv[2] ?? "{}") as StoreServerOptions;
const log = createLogger({ level: "warn", format: "text", write: (line) => process.stderr.write(line) });
const { signal } = new AbortController();
const store = await openStore(await openDriver(), { log });
const server = new EtcdApiServer({
  store: () => store,
  tcp: { host: "127.0.0.1", port: 0 },
  transport,
  memberName: "bench",
  log,
});
await server.prepare();
await server.start({ signal });
const meter = new BlockMeter();
answerQuestions(`127.0.0.1:${server.tcpPort}`, () => Promise.resolve(meter.take()), stop);

async function openDriver(): Promise<Driver> {
  if (text === undefined) return new UnstoredDriver();
  const endpoint = parseEndpoint(text);
  if (endpoint.kind === "etcd") throw new Error("Cannot serve: an etcd is measured by itself");
  return await openDatastore({ endpoint, folder, tls: {}, log, signal });
}

async function stop(): Promise<void> {
  meter.stop();
  await server.stop(AbortSignal.abort());
  await store.close();
}

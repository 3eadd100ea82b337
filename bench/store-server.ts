// Our datastore as a process of its own, so that its memory and its processor time can be told from those of the load.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { openStore } from "@k3s/datastore";
import { openDatastore, parseEndpoint } from "@k3s/datastore-endpoint";
import { EtcdApiServer } from "@k3s/etcd-api";
import { createLogger } from "@k3s/log";
import { answerQuestions } from "./datastore/answer-questions.ts";
import type { StoreServerOptions } from "./datastore/target.ts";

const NANOSECONDS_PER_MS = 1e6;
const { endpoint: text, folder, transport } = JSON.parse(process.argv[2] ?? "{}") as StoreServerOptions;
const endpoint = parseEndpoint(text);
if (endpoint.kind === "etcd") throw new Error("Cannot serve: an etcd is measured by itself");
const log = createLogger({ level: "warn", format: "text", write: (line) => process.stderr.write(line) });
const { signal } = new AbortController();
const store = await openStore(await openDatastore({ endpoint, folder, tls: {}, log, signal }), { log });
const server = new EtcdApiServer({
  store: () => store,
  tcp: { host: "127.0.0.1", port: 0 },
  transport,
  memberName: "bench",
  log,
});
await server.prepare();
await server.start({ signal });
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
answerQuestions(`127.0.0.1:${server.tcpPort}`, longestBlock, stop);

/** Longest time in ms that the main thread did nothing else, since the last question. */
function longestBlock(): Promise<number> {
  const longest = delay.max / NANOSECONDS_PER_MS;
  delay.reset();
  return Promise.resolve(longest);
}

async function stop(): Promise<void> {
  delay.disable();
  await server.stop(AbortSignal.abort());
  await store.close();
}

import { join } from "node:path";
import { bootstrapStoreOn, saveBootstrap } from "@k3s/bootstrap-data";
import { folderSource, unpackComponents } from "@k3s/components";
import { Datastore, parseEndpoint } from "@k3s/datastore-endpoint";
import { createLogger } from "@k3s/log";
import { MetricsRegistry } from "@k3s/metrics";
import { ensureServerPki } from "@k3s/pki";
import { ensurePasswd, writeTokenFiles } from "@k3s/token";

const LIMIT_MS = 60_000;
const log = createLogger({ level: "error", format: "text", write: (line) => process.stderr.write(line) });

/** Makes a data dir as a server leaves it: programs, certificates, tokens, and a datastore that holds them under `token`. */
export async function writeUsedDataDir(dataDir: string, components: string, token: string): Promise<void> {
  const serverDir = join(dataDir, "server");
  const apiServerUrl = "https://127.0.0.1:6444";
  await unpackComponents({ from: folderSource(components), dataDir, log });
  await ensureServerPki({ serverDir, clusterDomain: "cluster.local", sans: ["127.0.0.1"], apiServerUrl });
  const passwords = await ensurePasswd({ serverDir, token, agentToken: undefined });
  await writeTokenFiles({ serverDir, passwords, hasAgentToken: false });
  await storeIdentity(serverDir, token);
}

async function storeIdentity(serverDir: string, token: string): Promise<void> {
  const endpoint = parseEndpoint("");
  if (endpoint.kind === "etcd") throw new Error("Cannot store an identity: the default is no file");
  const metrics = new MetricsRegistry();
  const datastore = new Datastore({ endpoint, tls: {}, folder: serverDir, metrics, env: {}, healthKey: true, log });
  const signal = AbortSignal.timeout(LIMIT_MS);
  try {
    await datastore.start({ signal });
    await saveBootstrap({ store: bootstrapStoreOn(datastore.store), serverDir, token, log, signal });
  } finally {
    await datastore.stop(signal);
  }
}

import { readFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { encodeClusterConfig } from "@k3s/cluster-config";
import type { ServerConfig } from "@k3s/config";
import { createLogger, type Logger } from "@k3s/log";
import { ensureServerPki, serverCredPaths } from "@k3s/pki";
import type { Route } from "@k3s/supervisor-api";
import { freePort } from "@k3s/testkit";
import { ensurePasswd } from "@k3s/token";
import { clusterFacts } from "../../src/cluster-facts.ts";
import { Supervisor } from "../../src/supervisor.ts";
import { loadConfig } from "./load-config.ts";

/** A server that has its settings and the cluster's identity, and runs nothing. */
export interface Configured {
  readonly config: ServerConfig;
  readonly log: Logger;
  readonly lines: readonly string[];
}

/** A server as far as others ask it for its settings: its own port, no Kubernetes behind it. */
export interface Peer extends Configured {
  readonly url: string;
  stop(): Promise<void>;
}

export interface PeerOptions {
  /** Data dir with the cluster's {@link identity}, which servers have in common. */
  readonly folder: string;
  /** Of the loopback network; advertised as well. */
  readonly address: string;
  readonly port?: number;
  readonly server?: string;
  readonly domain?: string;
  /** Default: by the address. */
  readonly nodeName?: string;
  readonly disableAgent?: boolean;
}

/** The CAs and passwords of a cluster in a data dir, for the time of the test. */
export async function identity(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-peer-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const serverDir = join(folder, "server");
  const sans = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
  await ensureServerPki({ serverDir, clusterDomain: "cluster.local", sans, apiServerUrl: "https://127.0.0.1:1" });
  await ensurePasswd({ serverDir, token: undefined, agentToken: undefined });
  return folder;
}

/** Not listening: on its way into the cluster. */
export async function configured(options: PeerOptions): Promise<Configured> {
  const { folder, address, server, domain = "cluster.local", port = await freePort() } = options;
  const { nodeName = `node-${address}`, disableAgent = false } = options;
  const flags = {
    "data-dir": folder,
    "https-listen-port": String(port),
    "bind-address": address,
    "tls-san": address,
    "cluster-domain": domain,
    "node-name": nodeName,
    "disable-agent": String(disableAgent),
    ...(server === undefined ? {} : { server, "datastore-endpoint": "mysql://u@tcp(127.0.0.1:3306)/k3s" }),
  };
  // No flag takes a loopback address here, where nobody else could reach it.
  const config = { ...(await loadConfig(flags)), advertiseAddress: address };
  const lines: string[] = [];
  return {
    config,
    lines,
    log: createLogger({ level: "info", format: "text", write: (line) => void lines.push(line) }),
  };
}

/** Listens until the test ends, or it is stopped. */
export async function startPeer(t: TestContext, options: PeerOptions): Promise<Peer> {
  const peer = await configured(options);
  const { config } = peer;
  const answer: Route["answer"] = async () => {
    const psk = await readFile(serverCredPaths(config.paths.serverDir).ipsecPsk, "utf8");
    return { body: encodeClusterConfig(clusterFacts(config, psk.trim())) };
  };
  const stop = await serve(t, peer, new Map([["/v1-k3s/config", { groups: ["k3s:agent"], answer }]]));
  return { ...peer, url: `https://${options.address}:${config.httpsListenPort}`, stop };
}

/** Listens until the test ends, or what it resolves with is called. */
export async function serve(
  t: TestContext,
  { config, log }: Configured,
  paths: ReadonlyMap<string, Route>,
): Promise<() => Promise<void>> {
  const supervisor = new Supervisor({
    config,
    routes: { paths, upgrades: new Map(), connect: undefined },
    tokens: { check: () => Promise.resolve(undefined) },
    log: log.child({ component: "peer" }),
  });
  const stop = () => supervisor.stop(AbortSignal.abort());
  t.after(stop);
  await supervisor.start();
  return stop;
}

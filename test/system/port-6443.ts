import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { agentRoutes, NodeCheck, NodeNames, NodePasswords, TokenReviewer } from "@k3s/agent-endpoints";
import { bootstrapStoreOn, saveBootstrap, type BootstrapStore } from "@k3s/bootstrap-data";
import { kubeClientFromFiles, type KubeClient } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";
import {
  DynamicCertificate,
  ensureServerPki,
  serverCredPaths,
  writeAdminKubeconfig,
  type ServerTlsPaths,
} from "@k3s/pki";
import { serverRoutes, TokenRotation } from "@k3s/server";
import { SupervisorListener } from "@k3s/supervisor-api";
import { KubeApiserver, freePort } from "@k3s/testkit";
import { ensurePasswd, PasswordAuthenticator, readPasswd, writeTokenFiles } from "@k3s/token";
import { startEtcdApi } from "./etcd-api-on-endpoint.ts";

const run = promisify(execFile);
const STOP_WITHIN_MS = 5000;
const RUN_WITHIN_MS = 60_000;
const log = createLogger({ level: "error", format: "text", write: (line) => process.stderr.write(line) });

/** The one port in front of a real kube-apiserver on the product's datastore, with the product's certificates. */
export interface OnePort extends AsyncDisposable {
  /** The data dir of the server. */
  readonly folder: string;
  /** Holds the identity of the cluster, as of its start. */
  readonly bootstrapStore: BootstrapStore;
  readonly url: string;
  readonly port: number;
  readonly listener: SupervisorListener;
  readonly tls: ServerTlsPaths;
  /** For any kubectl. */
  readonly kubeconfig: string;
  readonly apiserver: KubeApiserver;
  /** As the supervisor, to kube-apiserver itself. */
  readonly client: KubeClient;
  /** Whether the server says to agents that they may go on. */
  readonly core: { isReady: boolean };
  /** Another kube-apiserver in the place of one that ended. */
  startApiserver(): Promise<KubeApiserver>;
  /** Standard output of a program; rejects with its exit code and output otherwise. */
  run(program: string, ...args: readonly string[]): Promise<string>;
}

/** The password of servers and of agents. */
const TOKEN = "secret";

/** Who has which address in the cluster. */
const HOLDERS = new Map([
  ["10.0.0.66", { name: "n-old", isExternal: false }],
  ["192.0.2.66", { name: "n-old", isExternal: true }],
]);

export async function startOnePort(): Promise<OnePort> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "k3s-port-6443-"));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const serverDir = join(folder, "server");
  const apiserverPort = await freePort();
  const apiServerUrl = `https://127.0.0.1:${apiserverPort}`;
  const { tls } = await ensureServerPki({
    serverDir,
    clusterDomain: "cluster.local",
    sans: ["127.0.0.1"],
    apiServerUrl,
  });
  const bootstrapStore = bootstrapStoreOn(undo.use(await startEtcdApi(folder)).store);
  await makeIdentity(serverDir, bootstrapStore);
  const apiservers = undo.use(new AsyncDisposableStack());
  const startApiserver = async () => {
    const started = await KubeApiserver.start({
      folder,
      port: apiserverPort,
      etcdServers: "unix://kine.sock",
      args: apiserverArgs(tls),
    });
    apiservers.defer(() => started.stop());
    return started;
  };
  const apiserver = await startApiserver();
  const { cert: certFile, key: keyFile } = tls.clientAdmin;
  const files = { server: apiServerUrl, caFile: tls.serverCa.cert, certFile, keyFile, userAgent: "k3s-test" };
  const client = await kubeClientFromFiles(files);
  undo.defer(() => client.close());
  const core = { isReady: true };
  const listener = await startListener(serverDir, { tls, apiserverPort, client, core, bootstrapStore });
  undo.defer(() => listener.stop(AbortSignal.timeout(STOP_WITHIN_MS)));
  const url = `https://127.0.0.1:${listener.port}`;
  const kubeconfig = join(folder, "admin.kubeconfig");
  await writeAdminKubeconfig({
    serverDir,
    server: url,
    path: kubeconfig,
    wellKnownPath: kubeconfig,
    name: "default",
    mode: 0o600,
  });
  const onePort = {
    ...{
      folder,
      bootstrapStore,
      url,
      port: listener.port,
      listener,
      tls,
      kubeconfig,
      apiserver,
      client,
      core,
      startApiserver,
    },
    run: async (program: string, ...args: readonly string[]) => {
      const { stdout } = await run(program, args, { timeout: RUN_WITHIN_MS, maxBuffer: 128 << 20 });
      return stdout;
    },
  };
  const running = undo.move();
  return { ...onePort, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

function apiserverArgs(tls: ServerTlsPaths): readonly string[] {
  return [
    `--tls-cert-file=${tls.servingApiServer.cert}`,
    `--tls-private-key-file=${tls.servingApiServer.key}`,
    `--client-ca-file=${tls.clientCa.cert}`,
    `--requestheader-client-ca-file=${tls.requestHeaderCa.cert}`,
    "--requestheader-allowed-names=system:auth-proxy",
    "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    "--requestheader-group-headers=X-Remote-Group",
    "--requestheader-username-headers=X-Remote-User",
    "--enable-bootstrap-token-auth",
  ];
}

/** As a server's start leaves it. */
async function makeIdentity(serverDir: string, store: BootstrapStore): Promise<void> {
  const passwords = await ensurePasswd({ serverDir, token: TOKEN, agentToken: undefined });
  await writeTokenFiles({ serverDir, passwords, hasAgentToken: false });
  await saveBootstrap({ store, serverDir, token: TOKEN, log, signal: AbortSignal.timeout(RUN_WITHIN_MS) });
}

interface ListenerParts extends Pick<OnePort, "tls" | "client" | "core" | "bootstrapStore"> {
  readonly apiserverPort: number;
}

async function startListener(serverDir: string, parts: ListenerParts): Promise<SupervisorListener> {
  const { tls, apiserverPort, client, core } = parts;
  const nodeCheck = new NodeCheck({
    client: () => (core.isReady ? client : undefined),
    passwords: new NodePasswords(log, new AbortController().signal),
    localNode: { name: "local", password: () => Promise.resolve("local-password") },
    log,
  });
  const paths = agentRoutes({
    serverDir,
    config: () => Promise.resolve('{"ClusterDomain":"cluster.local"}\n'),
    apiServers: () => ["10.0.0.1:6443"],
    isCoreReady: () => core.isReady,
    nodeCheck,
    nodeNames: new NodeNames({
      servingSans: ["localhost", "127.0.0.1", "kubernetes.default.svc", "10.0.0.99"],
      externalIps: ["192.0.2.1"],
      serviceCidrs: ["10.43.0.0/16"],
      apiServers: () => ["10.0.0.1:6443"],
      holderOf: (ip) => HOLDERS.get(ip),
      localNode: "local",
      log,
    }),
  });
  const rotation = new TokenRotation({ serverDir, hasAgentToken: false, store: () => parts.bootstrapStore, log });
  const ofServers = serverRoutes({ changeToken: (newToken) => rotation.change(newToken), log });
  const configuredNames = ["localhost", "127.0.0.1"];
  const listener = new SupervisorListener({
    port: 0,
    bindAddress: "127.0.0.1",
    files: {
      serverCa: tls.serverCa.cert,
      clientCa: tls.clientCa.cert,
      proxyCertificate: tls.authProxy.cert,
      proxyKey: tls.authProxy.key,
    },
    certificate: await DynamicCertificate.open({ serverDir, configuredNames, log }),
    passwords: new PasswordAuthenticator(await readPasswd(serverCredPaths(serverDir).passwd)),
    tokens: new TokenReviewer(() => client),
    routes: { paths: new Map([...paths, ...ofServers]), upgrades: new Map(), connect: undefined },
    apiserver: { host: "127.0.0.1", port: apiserverPort },
    log,
  });
  await listener.start();
  listener.setApiserverReady(true);
  return listener;
}

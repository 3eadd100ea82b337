import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { Latest } from "@k3s/async";
import { encodeClusterConfig } from "@k3s/cluster-config";
import { loadAgentConfig, readHostFacts, type AgentConfig } from "@k3s/config";
import { createLogger, type Logger } from "@k3s/log";
import { ensureServerPki, serverCredPaths, serverTlsPaths, signAgentCertificate } from "@k3s/pki";
import { RouteRefusal, SupervisorListener, type Route } from "@k3s/supervisor-api";
import { freePort } from "@k3s/testkit";
import { ensurePasswd, PasswordAuthenticator, readPasswd } from "@k3s/token";

const GROUPS = ["k3s:agent", "system:nodes"];
const LEAVES = ["serving-kubelet", "client-kubelet", "client-kube-proxy", "client-k3s-controller"] as const;
const NAME = "rack-1";

/** What is asked of a server, and how it goes. */
export interface Behaviour {
  /** Answered at /v1-k3s/config. */
  document: Readonly<Record<string, unknown>>;
  /** Status of that answer. */
  status: number;
  /** When it was asked for, on the clock of performance.now(). */
  readonly askedAtMs: number[];
  /** What kubelets' certificates were asked for, as the header says it. */
  readonly nodeIps: string[];
}

/** A server's own paths on the product's port, with the product's certificates; there is no Kubernetes behind it. */
export interface Cluster {
  readonly url: string;
  readonly behaviour: Behaviour;
  readonly config: AgentConfig;
  readonly log: Logger;
  readonly lines: readonly string[];
  /** Listens again on the same port after {@link stop}. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Sets the server up anew, with other CAs, the same passwords and the same address. */
  replace(): Promise<void>;
}

/** Made, and listening, until the test ends. */
export async function startCluster(t: TestContext): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-join-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const serverDir = join(folder, "server");
  const pki = { serverDir, clusterDomain: "c.local", sans: ["127.0.0.1"], apiServerUrl: "https://127.0.0.1:1" };
  await ensureServerPki(pki);
  await ensurePasswd({ serverDir, token: "secret", agentToken: undefined });
  const behaviour: Behaviour = { document: documentOfServer(), status: 200, askedAtMs: [], nodeIps: [] };
  const lines: string[] = [];
  const log = createLogger({ level: "debug", format: "text", write: (line) => void lines.push(line) });
  const port = await freePort();
  let listener: SupervisorListener | undefined;
  const stop = async () => listener?.stop(AbortSignal.abort());
  t.after(stop);
  const start = async () => {
    listener = await listenerOf(serverDir, { port, behaviour });
    await listener.start();
  };
  await start();
  const replace = async () => {
    await stop();
    await rm(join(serverDir, "tls"), { recursive: true });
    await ensureServerPki(pki);
    await start();
  };
  const url = `https://127.0.0.1:${port}`;
  return { url, behaviour, config: await agentConfig(folder, url), log, lines, start, stop, replace };
}

async function listenerOf(
  serverDir: string,
  { port, behaviour }: { readonly port: number; readonly behaviour: Behaviour },
): Promise<SupervisorListener> {
  const tls = serverTlsPaths(serverDir);
  const [certPem, keyPem] = await Promise.all(
    [tls.servingApiServer.cert, tls.servingApiServer.key].map((path) => readFile(path, "utf8")),
  );
  const users = await readPasswd(serverCredPaths(serverDir).passwd);
  return new SupervisorListener({
    port,
    bindAddress: "127.0.0.1",
    files: {
      serverCa: tls.serverCa.cert,
      clientCa: tls.clientCa.cert,
      proxyCertificate: tls.authProxy.cert,
      proxyKey: tls.authProxy.key,
    },
    certificate: {
      current: new Latest({ certPem: certPem ?? "", keyPem: keyPem ?? "" }),
      offerNames: () => Promise.resolve(),
    },
    passwords: new PasswordAuthenticator(users),
    tokens: { check: () => Promise.resolve(undefined) },
    routes: { paths: routes(serverDir, behaviour), upgrades: new Map(), connect: undefined },
    apiserver: undefined,
    log: createLogger({ level: "error", format: "text", write: (line) => process.stderr.write(line) }),
  });
}

function routes(serverDir: string, behaviour: Behaviour): ReadonlyMap<string, Route> {
  const tls = serverTlsPaths(serverDir);
  const route = (answer: Route["answer"]): Route => ({ groups: GROUPS, answer });
  const file = (path: string) => route(async () => ({ body: await readFile(path) }));
  const config = route(() => {
    behaviour.askedAtMs.push(performance.now());
    if (behaviour.status === 200) return Promise.resolve({ body: JSON.stringify(behaviour.document) });
    const failure = { code: behaviour.status, reason: "ServiceUnavailable", message: "not yet" };
    return Promise.reject(new RouteRefusal(failure));
  });
  const leaf = (name: (typeof LEAVES)[number]) =>
    route(async (request) => {
      behaviour.nodeIps.push(...[request.header("k3s-node-ip") ?? []].flat());
      const subject = { serverDir, name, nodeName: NAME, nodeIps: ["127.0.0.1"] };
      return { body: await signAgentCertificate({ ...subject, csr: await request.body() }) };
    });
  return new Map([
    ["/v1-k3s/config", config],
    ["/v1-k3s/client-ca.crt", file(tls.clientCa.cert)],
    ["/v1-k3s/server-ca.crt", file(tls.serverCa.cert)],
    ...LEAVES.map((name) => [`/v1-k3s/${name}.crt`, leaf(name)] as const),
  ]);
}

async function agentConfig(folder: string, url: string): Promise<AgentConfig> {
  const env = { K3S_URL: url, K3S_TOKEN: "secret", K3S_NODE_NAME: NAME, K3S_DATA_DIR: join(folder, "node") };
  const signal = AbortSignal.timeout(60_000);
  const config = await loadAgentConfig({
    flags: new Map(),
    unknownFlags: [],
    env,
    host: await readHostFacts(),
    signal,
  });
  return { ...config, paths: { ...config.paths, nodePasswordFile: join(folder, "etc/password") } };
}

/** A range as the document has it. */
export function goNetwork(cidr: string): { readonly IP: string; readonly Mask: string } {
  const [ip = "", length = ""] = cidr.split("/");
  const bits = "1".repeat(Number(length)).padEnd(ip.includes(":") ? 128 : 32, "0");
  const bytes = bits.match(/.{8}/g)?.map((byte) => Number.parseInt(byte, 2)) ?? [];
  return { IP: ip, Mask: Buffer.from(bytes).toString("base64") };
}

/** As a server of this version writes it. */
function documentOfServer(): Readonly<Record<string, unknown>> {
  const text = encodeClusterConfig({
    clusterCidrs: ["10.42.0.0/16"],
    serviceCidrs: ["10.43.0.0/16"],
    clusterDns: ["10.43.0.10"],
    clusterDomain: "c.local",
    serviceNodePortRange: "30000-32767",
    flannelBackend: "vxlan",
    egressSelectorMode: "agent",
    supervisorMetrics: false,
    disableCloudController: false,
    disableHelmController: false,
    disableNetworkPolicy: false,
    disableServiceLb: false,
    disableKubeProxy: false,
    disableScheduler: false,
    disableAgent: false,
    disabled: [],
    httpsPort: 6443,
    advertisePort: 6443,
    advertiseIp: "127.0.0.1",
    apiserverPort: 6444,
    bindAddress: "",
    dataDir: "/var/lib/rancher/k3s",
    nodeName: "srv",
    sans: ["srv"],
    tls: { minVersion: "", cipherSuites: [] },
    ipsecPsk: "",
    kubeconfig: { path: "", mode: "0600", group: "", name: "default" },
    joinUrl: "",
    verbosity: { level: 0, modules: "" },
    extraArgs: { apiserver: [], controllerManager: [], scheduler: [] },
  });
  return JSON.parse(text) as Readonly<Record<string, unknown>>;
}

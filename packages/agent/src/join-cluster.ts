import { dirname } from "node:path";
import { retry } from "@k3s/async";
import { ClusterClient, ClusterError, isForeign, trustCluster, type ClusterTrust } from "@k3s/cluster-client";
import { parseClusterConfig, type ClusterConfig } from "@k3s/cluster-config";
import type { AgentConfig } from "@k3s/config";
import { makeDirectory, readIfExists, writeFileAtomic } from "@k3s/files";
import type { Logger } from "@k3s/log";
import { agentPaths, writeAgentKubeconfigs } from "@k3s/pki";
import { ensureNodePassword, parseServerUrl, TokenError } from "@k3s/token";
import { AgentError } from "./errors.ts";
import { fitNodeIps } from "./fit-node-ips.ts";
import { WaitingLog } from "./waiting-log.ts";

export interface JoinOptions {
  readonly config: AgentConfig;
  /** Where the servers are reached: the address of the balancer on this machine, or the server itself. */
  readonly server: string;
  /** Why the balancer reaches no server, as far as it knows: it can but reset connections to it. */
  readonly cause?: () => Error | undefined;
  readonly log: Logger;
}

const FIRST_RETRY = { delayMinMs: 2_000, delayMaxMs: 2_000 };
const RETRY = { delayMinMs: 2_000, delayMaxMs: 10_000 };
const SECRET = { mode: 0o600 };

/**
 * Joins the cluster; certificates, kubeconfigs and the cluster's settings are then on disk. Finds out whether the server is the right one, takes the cluster's settings and asks for the node's
 * certificates. Tries again for as long as waiting can help; rejects with NodeError where it cannot.
 */
export async function joinCluster(options: JoinOptions, signal: AbortSignal): Promise<ClusterConfig> {
  const { config, log } = options;
  await makeDirectory(config.paths.agentDir, 0o700);
  const waits = new WaitingLog(log);
  const onRetry = (what: string) => (error: unknown) => waits.failed(what, withCause(error, options));
  let trust: ClusterTrust | undefined = await retry(
    (attempt) => establishTrust(options, attempt),
    { ...FIRST_RETRY, isRetryable, onRetry: onRetry("waiting for a server of the cluster") },
    signal,
  );
  const attemptToJoin = async (attempt: AbortSignal): Promise<ClusterConfig> => {
    trust ??= await establishTrust(options, attempt);
    try {
      return await fetchIdentity({ ...options, trust }, attempt);
    } catch (error) {
      // The cluster may have been set up anew while we waited: whether the token is for that one is found out again.
      if (isForeign(error)) trust = undefined;
      throw error;
    }
  };
  return await retry(attemptToJoin, { ...RETRY, isRetryable, onRetry: onRetry("waiting to join the cluster") }, signal);
}

async function establishTrust({ config, server, log }: JoinOptions, signal: AbortSignal): Promise<ClusterTrust> {
  const { token } = config;
  const name = server === config.server ? server : `${config.server} (through ${new URL(server).host})`;
  if (token !== undefined) return await trustCluster({ server, name, token, user: "node", log, signal });
  // Without a token the certificate of an earlier join has to do, and the CA that came with it.
  const ca = await readIfExists(agentPaths(config.paths.agentDir).serverCa);
  if (ca === undefined) throw TokenError.empty();
  return { server: parseServerUrl(server), name, ca, token: undefined };
}

async function fetchIdentity(
  { config, log, trust, server }: JoinOptions & { readonly trust: ClusterTrust },
  signal: AbortSignal,
): Promise<ClusterConfig> {
  const paths = agentPaths(config.paths.agentDir);
  const client = new ClusterClient({ trust, pair: paths.clientKubelet, log });
  const text = (await client.get("/v1-k3s/config", signal)).toString("utf8");
  const cluster = parseClusterConfig(text);
  const { nodeIp } = fitNodeIps(config, cluster);
  await writeFileAtomic(paths.clientCa, await client.get("/v1-k3s/client-ca.crt", signal), SECRET);
  await writeFileAtomic(paths.serverCa, await client.get("/v1-k3s/server-ca.crt", signal), SECRET);
  const password = await ensureNodePassword({
    path: config.paths.nodePasswordFile,
    legacyPath: `${config.paths.agentDir}/node-password.txt`,
  });
  const proof = { name: config.nodeName, password, passwordFile: config.paths.nodePasswordFile };
  const serving = { ...proof, ips: [...nodeIp, ...config.nodeExternalIp] };
  const leaves = [
    ["serving-kubelet", paths.servingKubelet, serving],
    ["client-kubelet", paths.clientKubelet, { ...proof, ips: nodeIp }],
    ["client-kube-proxy", paths.clientKubeProxy, undefined],
    ["client-k3s-controller", paths.clientK3sController, undefined],
  ] as const;
  for (const [name, pair, node] of leaves) {
    const request = { keyFile: pair.key, ...(node === undefined ? {} : { proof: node }) };
    const answer = await client.certificate(`/v1-k3s/${name}.crt`, request, signal);
    await writeFileAtomic(pair.cert, answer, SECRET);
  }
  await writeAgentKubeconfigs({ agentDir: config.paths.agentDir, apiServerUrl: server });
  await makeDirectory(dirname(config.paths.clusterConfigFile), 0o700);
  await writeFileAtomic(config.paths.clusterConfigFile, text, SECRET);
  return cluster;
}

/** Whatever a request meets at a balancer without a server, the cause is what that has met itself. */
function withCause(error: unknown, { config, cause }: JoinOptions): unknown {
  if (!(error instanceof ClusterError) || error.code !== "ERR_SERVER_UNREACHABLE") return error;
  const known = cause?.();
  return known === undefined ? error : ClusterError.unreachable(config.server, known);
}

function isRetryable(error: unknown): boolean {
  if (error instanceof ClusterError) return !error.isFinal;
  return !(error instanceof TokenError || error instanceof AgentError);
}

import { checkDatastore } from "./check-datastore.ts";
import { deriveNetwork, warnOfForeignAddresses, type NetworkConfig } from "./derive-network.ts";
import type { Environment } from "./environment.ts";
import type { HostFacts } from "./host-facts.ts";
import { parseServer } from "./parse-server.ts";
import { deriveNodeName } from "./node-name.ts";
import { parseServerToken } from "./cluster-parsers.ts";
import { defaultDataDir, nodePaths } from "./paths.ts";
import { readToken } from "./read-token.ts";
import type { ServerConfig } from "./server-config.ts";
import type { ServerValues } from "./server-settings.ts";
import type { Report } from "./setting.ts";

interface Inputs {
  readonly fileArguments: readonly string[];
  readonly values: ServerValues;
  readonly host: HostFacts;
  readonly env: Environment;
  readonly signal: AbortSignal;
}

interface Complaints {
  readonly report: Report;
  readonly warnings: string[];
}

/** Completes the values by what follows from them and from the machine. Mistakes are reported; the result is then void. */
export async function deriveConfig(inputs: Inputs, { report, warnings }: Complaints): Promise<ServerConfig> {
  const { values, host, signal, fileArguments } = inputs;
  const network = deriveNetwork(values, host, report);
  const { nodeName, newNodeId } = await deriveNodeName(values, host, report);
  const dataDir = values.dataDir ?? defaultDataDir(host);
  const paths = nodePaths(dataDir);
  warnOfForeignAddresses(network.nodeIp, host, warnings);
  const token = values.token ?? (await readToken("--token-file", values.tokenFile, { report, signal }));
  const agentToken =
    values.agentToken ?? (await readToken("--agent-token-file", values.agentTokenFile, { report, signal }));
  checkPeer(values, report);
  checkServerToken("--token", token, report);
  checkServerToken("--agent-token", agentToken, report);
  return {
    ...values,
    ...network,
    ...{ nodeName, newNodeId },
    dataDir,
    paths,
    token,
    agentToken,
    datastoreTls: await checkDatastore(values, { report, warnings, env: inputs.env }),
    writeKubeconfigGroup: findGroup(values.writeKubeconfigGroup, host, report),
    servingSans: servingSans({ values, network, nodeName }),
    fileArguments,
    warnings,
  };
}

/** Servers are one cluster because they share a datastore; the other one is only asked for its settings. */
function checkPeer({ server, datastoreEndpoint }: ServerValues, report: Report): void {
  if (server === undefined) return;
  if (parseServer(server) === undefined) report(`--server must be a URL like https://host:6443`);
  if (datastoreEndpoint === "" || datastoreEndpoint.startsWith("sqlite:")) {
    report("--server needs --datastore-endpoint: servers share a datastore, and an embedded etcd is not there");
  }
}

/** Bootstrap tokens are for agents. */
function checkServerToken(flag: string, token: string | undefined, report: Report): void {
  try {
    if (token !== undefined) parseServerToken(token);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    report(`${flag} ${error.message}`);
  }
}

function findGroup(text: string | undefined, host: HostFacts, report: Report): number | undefined {
  if (text === undefined) return undefined;
  const id = /^\d+$/.test(text) ? Number(text) : host.groups.get(text);
  if (id === undefined) report(`--write-kubeconfig-group must be a group of this machine: current value is "${text}"`);
  return id;
}

function servingSans(from: {
  readonly values: ServerValues;
  readonly network: NetworkConfig;
  readonly nodeName: string;
}): readonly string[] {
  const { values, network, nodeName } = from;
  const names = [
    ...values.tlsSan,
    ...["127.0.0.1", "::1", "localhost"],
    nodeName,
    ...network.nodeExternalIp,
    nodeName.split(".")[0] ?? nodeName,
    ...network.nodeIp,
    network.advertiseAddress, // agents open their tunnels there
    network.serviceIp,
    ...["kubernetes", "kubernetes.default", "kubernetes.default.svc"],
    `kubernetes.default.svc.${values.clusterDomain}`,
  ];
  return [...new Set(names)].filter((name) => name !== "");
}

import { readIfExists } from "@k3s/files";
import { agentPaths } from "@k3s/pki";
import type { AgentConfig } from "./agent-config.ts";
import { deepFreeze } from "./deep-freeze.ts";
import { nodeAddresses, warnOfForeignAddresses } from "./derive-network.ts";
import { ConfigError } from "./errors.ts";
import { gatherSettings, type ConfigSource, type GatheredSettings } from "./gather-settings.ts";
import { deriveNodeName } from "./node-name.ts";
import { defaultDataDir, nodePaths } from "./paths.ts";
import { parseServer } from "./parse-server.ts";
import { readToken } from "./read-token.ts";
import type { Report } from "./setting.ts";

/** The configuration of an agent. Rejects with one ConfigError that lists every mistake. */
export async function loadAgentConfig(source: ConfigSource): Promise<AgentConfig> {
  const settings = await gatherSettings("agent", source);
  const config = await derive(settings, source);
  if (settings.problems.length > 0) throw ConfigError.invalid([...new Set(settings.problems)], "agent");
  return deepFreeze(config);
}

async function derive(settings: GatheredSettings, { host, signal }: ConfigSource): Promise<AgentConfig> {
  const { values, report, warnings, fileArguments } = settings;
  const dataDir = values.dataDir ?? defaultDataDir(host);
  const addresses = nodeAddresses(values, host, report);
  warnOfForeignAddresses(addresses.nodeIp, host, warnings);
  const { nodeLabel, nodeTaint, flannelIface, resolvConf, pauseImage, snapshotter, preferBundledBin } = values;
  const { kubeletArg, kubeProxyArg, v, vmodule } = values;
  const { debug, log, alsologtostderr, lbServerPort, disableApiserverLb, enablePprof } = values;
  return {
    ...addresses,
    isNodeIpGiven: values.nodeIp.length > 0,
    ...{
      nodeLabel,
      nodeTaint,
      flannelIface,
      resolvConf,
      pauseImage,
      snapshotter,
      preferBundledBin,
      kubeletArg,
      kubeProxyArg,
      v,
      vmodule,
    },
    ...{ debug, log, alsologtostderr, lbServerPort, disableApiserverLb, enablePprof, dataDir, fileArguments, warnings },
    ...(await deriveNodeName(values, host, report)),
    paths: nodePaths(dataDir),
    server: checkServer(values.server, report),
    token: await findToken(settings, dataDir, signal),
  };
}

/** Without a token the certificate of an earlier join has to do. */
async function findToken(
  { values, report }: GatheredSettings,
  dataDir: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (values.token !== undefined) return values.token;
  if (values.tokenFile !== undefined) return await readToken("--token-file", values.tokenFile, { report, signal });
  const earlier = agentPaths(nodePaths(dataDir).agentDir).serverCa;
  if ((await readIfExists(earlier)) === undefined)
    report("--token is required: this node has not joined a cluster yet");
  return undefined;
}

function checkServer(text: string | undefined, report: Report): string {
  if (text === undefined) {
    report("--server is required");
    return "";
  }
  const url = parseServer(text);
  if (url === undefined) {
    const shown = text.replace(/\/\/[^/]*@/, "//");
    report(`--server must be a URL like https://host:6443: current value is "${shown}"`);
  }
  return url ?? "";
}

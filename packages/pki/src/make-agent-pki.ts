import { makeDirectory } from "@k3s/files";
import { signAgentLeaf, type AgentLeafName } from "./agent-leaves.ts";
import { makeCsr } from "./csr.ts";
import { PkiError } from "./errors.ts";
import { formatKubeconfig } from "./kubeconfig.ts";
import { agentPaths, serverTlsPaths, type CertificatePair } from "./paths.ts";
import { readText, SECRET_MODE, writeIfChanged, writeText } from "./pki-files.ts";

export interface AgentPkiRequest {
  readonly agentDir: string;
  /** Folder of the server on the same machine, whose CAs sign. */
  readonly serverDir: string;
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  /** Where this node's components reach kube-apiserver. */
  readonly apiServerUrl: string;
  readonly now: Date;
  readonly leafLifetimeDays: number;
}

/** Brings the files of a node to the state the rules ask for: keys are kept, certificates made anew. */
export async function makeAgentPki(request: AgentPkiRequest): Promise<void> {
  const paths = agentPaths(request.agentDir);
  const tls = serverTlsPaths(request.serverDir);
  try {
    await makeDirectory(request.agentDir, 0o700);
  } catch (error) {
    throw PkiError.unwritable(request.agentDir, error);
  }
  await copyAuthority(tls.clientCa.cert, paths.clientCa);
  await copyAuthority(tls.serverCa.cert, paths.serverCa);
  const leaves: readonly (readonly [AgentLeafName, CertificatePair])[] = [
    ["serving-kubelet", paths.servingKubelet],
    ["client-kubelet", paths.clientKubelet],
    ["client-kube-proxy", paths.clientKubeProxy],
    ["client-k3s-controller", paths.clientK3sController],
  ];
  await Promise.all(leaves.map(([name, pair]) => makeLeaf(request, name, pair)));
  await writeAgentKubeconfigs(request);
}

/** The kubeconfigs of a node's programs, for the certificates in its folder. Rejects with PkiError. */
export async function writeAgentKubeconfigs(
  request: Pick<AgentPkiRequest, "agentDir" | "apiServerUrl">,
): Promise<void> {
  const paths = agentPaths(request.agentDir);
  const kubeconfigs: readonly (readonly [string, CertificatePair])[] = [
    [paths.kubeletKubeconfig, paths.clientKubelet],
    [paths.kubeProxyKubeconfig, paths.clientKubeProxy],
    [paths.k3sControllerKubeconfig, paths.clientK3sController],
  ];
  const common = { server: request.apiServerUrl, caFile: paths.serverCa };
  for (const [path, { cert, key }] of kubeconfigs) {
    const text = formatKubeconfig({ ...common, certFile: cert, keyFile: key });
    await writeIfChanged(path, { text, mode: SECRET_MODE });
  }
}

async function makeLeaf(request: AgentPkiRequest, name: AgentLeafName, pair: CertificatePair): Promise<void> {
  const csr = await makeCsr({ keyFile: pair.key });
  await writeText(pair.cert, { text: await signAgentLeaf({ ...request, name, csr }), mode: SECRET_MODE });
}

async function copyAuthority(from: string, to: string): Promise<void> {
  const text = await readText(from);
  if (text === undefined) throw PkiError.unreadable(from, new Error("there is no such file"));
  await writeIfChanged(to, { text, mode: SECRET_MODE });
}

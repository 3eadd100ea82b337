import { loadAuthority } from "./authority.ts";
import { csrPublicKey } from "./csr.ts";
import { signChain, type Term } from "./leaf.ts";
import { serverTlsPaths } from "./paths.ts";
import type { KeyPurpose } from "./sign-certificate.ts";

/** The certificates a node asks a server for, by the name of their file. */
export type AgentLeafName = "serving-kubelet" | "client-kubelet" | "client-kube-proxy" | "client-k3s-controller";

export interface AgentLeafRequest {
  readonly serverDir: string;
  readonly name: AgentLeafName;
  /** DER PKCS#10; only its public key counts. */
  readonly csr: Uint8Array;
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  readonly now: Date;
  readonly leafLifetimeDays: number;
}

interface AgentLeafSubject {
  readonly authority: "clientCa" | "serverCa";
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly sans: readonly string[];
  readonly purposes: readonly KeyPurpose[];
}

/** Signs a certificate for a node: PEM of the leaf and of the whole bundle of its CA. Rejects with PkiError. */
export async function signAgentLeaf(request: AgentLeafRequest): Promise<string> {
  const { authority, ...subject } = agentLeafSubject(request);
  const issuer = await loadAuthority(serverTlsPaths(request.serverDir)[authority], request.now);
  const term: Term = { now: request.now, lifetimeDays: request.leafLifetimeDays };
  return signChain(issuer, { ...subject, ...term, publicKey: csrPublicKey(request.csr) });
}

function agentLeafSubject(request: Pick<AgentLeafRequest, "name" | "nodeName" | "nodeIps">): AgentLeafSubject {
  const { name, nodeName, nodeIps } = request;
  const client = (commonName: string, organizations: readonly string[]): AgentLeafSubject => {
    return { authority: "clientCa", commonName, organizations, sans: [], purposes: ["clientAuth"] };
  };
  switch (name) {
    case "serving-kubelet": {
      const sans = [...new Set([nodeName, "localhost", "127.0.0.1", "::1", ...nodeIps])];
      return { authority: "serverCa", commonName: nodeName, organizations: [], sans, purposes: ["serverAuth"] };
    }
    case "client-kubelet":
      return client(`system:node:${nodeName}`, ["system:nodes"]);
    case "client-kube-proxy":
      return client("system:kube-proxy", []);
    case "client-k3s-controller":
      return client("system:k3s-controller", []);
  }
}

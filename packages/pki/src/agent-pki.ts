import { signAgentLeaf, type AgentLeafRequest } from "./agent-leaves.ts";
import { makeCsr } from "./csr.ts";
import type { AgentPkiRequest } from "./make-agent-pki.ts";
import { agentPaths, type AgentPaths } from "./paths.ts";
import { runPkiJob } from "./run-pki-job.ts";
import { LEAF_LIFETIME_DAYS } from "./server-pki.ts";

type WithDefaults<Request extends { readonly now: Date; readonly leafLifetimeDays: number }> = Omit<
  Request,
  "now" | "leafLifetimeDays"
> &
  Partial<Pick<Request, "now" | "leafLifetimeDays">>;

export type AgentPkiOptions = WithDefaults<AgentPkiRequest>;
export type AgentCertificateOptions = WithDefaults<AgentLeafRequest>;

/** Makes the certificates and kubeconfigs of the server's own node with the CAs on this machine; its keys are kept. */
export async function ensureAgentPki(options: AgentPkiOptions): Promise<AgentPaths> {
  await runPkiJob("makeAgentPki", { ...defaults(), ...options });
  return agentPaths(options.agentDir);
}

/**
 * Signs the certificate a node asked for: PEM of the leaf and of its CA bundle. Rejects with PkiError. One signature takes
 * a millisecond, a thread for it fifty: a rack that joins at once is served faster from here.
 */
export function signAgentCertificate(options: AgentCertificateOptions): Promise<string> {
  return signAgentLeaf({ ...defaults(), ...options });
}

/** A DER certificate request for the key in `keyFile`, which is made (SEC1 PEM, 0600) when it is missing. */
export function createCsr(keyFile: string): Promise<Uint8Array> {
  return makeCsr({ keyFile });
}

function defaults(): { readonly now: Date; readonly leafLifetimeDays: number } {
  return { now: new Date(), leafLifetimeDays: LEAF_LIFETIME_DAYS };
}

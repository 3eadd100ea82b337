export { writeAdminKubeconfig, type AdminKubeconfigOptions } from "./admin-kubeconfig.ts";
export type { AgentLeafName } from "./agent-leaves.ts";
export {
  createCsr,
  ensureAgentPki,
  signAgentCertificate,
  type AgentCertificateOptions,
  type AgentPkiOptions,
} from "./agent-pki.ts";
export { parseCertificates, type Certificate } from "./certificate.ts";
export { DynamicCertificate, type DynamicCertificateOptions } from "./dynamic-certificate.ts";
export { PkiError } from "./errors.ts";
export { agentPaths, serverCredPaths, serverTlsPaths } from "./paths.ts";
export type { AgentPaths, CertificatePair, ServerCredPaths, ServerTlsPaths } from "./paths.ts";
export { ensureServerPki, type ServerPki, type ServerPkiOptions } from "./server-pki.ts";
export type { ServingCertificate, ServingSecret } from "./serving-secret.ts";

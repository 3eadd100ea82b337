export type { PasswordCheck } from "./authenticate.ts";
export type { ConnectionLimits } from "./connection-table.ts";
export type { CredentialFiles } from "./credentials.ts";
export { SupervisorError } from "./errors.ts";
export type { Identity } from "./identity.ts";
export type { ServingCertificate, TlsPolicy } from "./serving-context.ts";
export { SupervisorListener, type SupervisorOptions } from "./supervisor-listener.ts";
export type { UpstreamAddress } from "./upstream.ts";

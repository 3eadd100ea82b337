import type { MadeCertificate, ServerPkiRequest } from "./make-server-pki.ts";
import { serverCredPaths, serverTlsPaths, type ServerCredPaths, type ServerTlsPaths } from "./paths.ts";
import { runPkiJob } from "./run-pki-job.ts";

/** `now` and `leafLifetimeDays` have the usual values when absent: the clock, and 365. */
export type ServerPkiOptions = Omit<ServerPkiRequest, "now" | "leafLifetimeDays"> &
  Partial<Pick<ServerPkiRequest, "now" | "leafLifetimeDays">>;

/** Where everything is, and what this start made. */
export interface ServerPki {
  readonly tls: ServerTlsPaths;
  readonly cred: ServerCredPaths;
  readonly made: readonly MadeCertificate[];
}

/** Days a leaf lasts unless the operator says otherwise. */
export const LEAF_LIFETIME_DAYS = 365;

/**
 * Makes what is missing of a server's CAs, certificates, keys and kubeconfigs, renews what the renewal rule names, and
 * leaves everything else untouched. May be called at every start. Rejects with PkiError before anything is replaced
 * when a CA cannot be used.
 */
export async function ensureServerPki(options: ServerPkiOptions): Promise<ServerPki> {
  const made = await runPkiJob("makeServerPki", { now: new Date(), leafLifetimeDays: LEAF_LIFETIME_DAYS, ...options });
  return { tls: serverTlsPaths(options.serverDir), cred: serverCredPaths(options.serverDir), made };
}

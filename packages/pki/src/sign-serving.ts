import { createPrivateKey } from "node:crypto";
import { loadAuthority } from "./authority.ts";
import { formatKey } from "./key-pair.ts";
import { signChain, type Term } from "./leaf.ts";
import { serverTlsPaths } from "./paths.ts";
import { generateKey, publicKeyOf } from "./sign-certificate.ts";

export interface ServingRequest {
  readonly serverDir: string;
  readonly sans: readonly string[];
  /** PEM of the key to keep; a new one is made without. */
  readonly keyPem?: string;
  readonly now: Date;
  readonly leafLifetimeDays: number;
}

/** A serving certificate of the supervisor port and its key, as PEM. */
export interface SignedServing {
  readonly certPem: string;
  readonly keyPem: string;
}

/** Signs the certificate of the supervisor port with the server CA. Rejects with PkiError. */
export async function signServing(request: ServingRequest): Promise<SignedServing> {
  const issuer = await loadAuthority(serverTlsPaths(request.serverDir).serverCa, request.now);
  const key = request.keyPem === undefined ? generateKey() : createPrivateKey(request.keyPem);
  const term: Term = { now: request.now, lifetimeDays: request.leafLifetimeDays };
  const certPem = signChain(issuer, {
    commonName: "k3s",
    organizations: ["k3s"],
    sans: request.sans,
    purposes: ["serverAuth"],
    publicKey: publicKeyOf(key),
    ...term,
  });
  return { certPem, keyPem: request.keyPem ?? formatKey(key) };
}

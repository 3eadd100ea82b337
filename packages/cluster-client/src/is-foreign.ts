/** What OpenSSL says of a certificate that none of the authorities at hand has signed. */
const UNKNOWN_ISSUER = new Set([
  "CERT_SIGNATURE_FAILURE",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** Whether a server could not be asked because its certificate is not of the authority that is trusted. */
export function isForeign(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ("code" in error && UNKNOWN_ISSUER.has(String(error.code))) || isForeign(error.cause);
}

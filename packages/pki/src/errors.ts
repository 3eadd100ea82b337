import { NodeError, type ErrorCode } from "@k3s/errors";

interface Fault {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  readonly cause?: unknown;
}

/** A certificate, key or kubeconfig on disk that cannot be used, with the way out. */
export class PkiError extends NodeError {
  override readonly name = "PkiError";

  private static of({ code, message, hint, cause }: Fault): PkiError {
    return new PkiError(code, message, cause === undefined ? { hint } : { hint, cause });
  }

  static unreadable(path: string, cause: unknown): PkiError {
    return PkiError.of({
      code: "ERR_PKI_FILE_UNREADABLE",
      message: `Cannot read "${path}": ${reasonOf(cause)}`,
      hint: "Make it a regular file that root can read, or remove it so that it is made or fetched again",
      cause,
    });
  }

  static unwritable(path: string, cause: unknown): PkiError {
    return PkiError.of({
      code: "ERR_PKI_FILE_UNWRITABLE",
      message: `Cannot write "${path}": ${reasonOf(cause)}`,
      hint: "Check that the data directory is writable and its disk is not full",
      cause,
    });
  }

  static corruptCertificate(path: string, cause?: unknown): PkiError {
    return PkiError.of({
      code: "ERR_PKI_CERTIFICATE_CORRUPT",
      message: `Cannot use certificate "${path}": it holds no readable PEM certificate`,
      hint: `${restore(path)} The start after that makes what is missing, or takes it from the datastore`,
      cause,
    });
  }

  static corruptKey(path: string, cause?: unknown): PkiError {
    return PkiError.of({
      code: "ERR_PKI_KEY_CORRUPT",
      message: `Cannot use private key "${path}": it holds no readable PEM private key`,
      hint: `${restore(path)} The start after that makes what is missing, or takes it from the datastore`,
      cause,
    });
  }

  static mismatch(pair: { readonly cert: string; readonly key: string }): PkiError {
    return PkiError.of({
      code: "ERR_PKI_KEY_MISMATCH",
      message: `Cannot use certificate "${pair.cert}": its public key does not belong to "${pair.key}"`,
      hint: "Put the certificate and the key that belong together in place, or move both away and start again",
    });
  }

  static authorityKeyMissing(pair: { readonly cert: string; readonly key: string }): PkiError {
    return PkiError.of({
      code: "ERR_PKI_CA_KEY_MISSING",
      message: `Cannot use CA "${pair.cert}": its private key "${pair.key}" is missing`,
      hint: "Restore the key; only if no other node knows this CA, remove the certificate too and a new CA is made",
    });
  }

  static clockBehind(authority: { readonly path: string; readonly notBefore: Date; readonly now: Date }): PkiError {
    const { path, notBefore, now } = authority;
    return PkiError.of({
      code: "ERR_PKI_CLOCK_BEHIND",
      message: `Cannot use CA "${path}": the clock says ${now.toISOString()}, the CA is valid from ${notBefore.toISOString()}`,
      hint: "Set the clock of this machine (for instance with timedatectl or an NTP client) and start again",
    });
  }

  static authorityExpired(authority: { readonly path: string; readonly notAfter: Date; readonly now: Date }): PkiError {
    const { path, notAfter, now } = authority;
    return PkiError.of({
      code: "ERR_PKI_CA_EXPIRED",
      message: `Cannot use CA "${path}": it expired at ${notAfter.toISOString()}, the clock says ${now.toISOString()}`,
      hint: "If the clock is right, put a renewed CA certificate (or a new CA) with its key in place and start again",
    });
  }

  static invalidName(name: string): PkiError {
    return PkiError.of({
      code: "ERR_PKI_NAME_INVALID",
      message: `Cannot put "${name}" into a certificate: it is neither an IP address nor an ASCII host name`,
      hint: "Correct --tls-san, --node-name, --node-ip or --cluster-domain, whichever holds it",
    });
  }

  static badRequest(cause: unknown): PkiError {
    return PkiError.of({
      code: "ERR_PKI_CSR_INVALID",
      message: "Cannot sign certificate request: it is no DER PKCS#10 request with a usable public key",
      hint: "Send the certificate request as DER, not as PEM",
      cause,
    });
  }

  static unknownGroup(group: string): PkiError {
    return PkiError.of({
      code: "ERR_PKI_GROUP_UNKNOWN",
      message: `Cannot give the kubeconfig to group "${group}": there is no such group`,
      hint: "Create the group, or correct --write-kubeconfig-group (a name or a number)",
    });
  }
}

function restore(path: string): string {
  return `Restore "${path}" from a backup, or move it and the file that belongs to it away.`;
}

function reasonOf(cause: unknown): string {
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string") return cause.code;
  return cause instanceof Error ? cause.message : String(cause);
}

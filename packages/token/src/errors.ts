import { NodeError, type ErrorCode } from "@k3s/errors";

const COPY_TOKEN = "Copy the whole content of server/node-token from a server of the cluster";

interface Fault {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  readonly cause?: unknown;
}

/** A token, a CA hash or a password file that cannot be used, with the way out. Never holds the secret itself. */
export class TokenError extends NodeError {
  override readonly name = "TokenError";

  private static of({ code, message, hint, cause }: Fault): TokenError {
    return new TokenError(code, message, cause === undefined ? { hint } : { hint, cause });
  }

  static empty(): TokenError {
    const message = "Cannot parse token: token must not be empty";
    return TokenError.of({ code: "ERR_TOKEN_EMPTY", message, hint: "Give --token or --token-file a value" });
  }

  static hashLength(length: number): TokenError {
    return TokenError.of({
      code: "ERR_TOKEN_HASH_LENGTH",
      message: `Cannot parse token: invalid token CA hash length (${length} characters, expected 64)`,
      hint: COPY_TOKEN,
    });
  }

  static format(): TokenError {
    return TokenError.of({
      code: "ERR_TOKEN_FORMAT",
      message: "Cannot parse token: invalid token format",
      hint: `${COPY_TOKEN}; the forms are K10<CA-HASH>::<USERNAME>:<PASSWORD>, <ID>.<SECRET> and <PASSWORD>`,
    });
  }

  static notForServers(cause?: unknown): TokenError {
    return TokenError.of({
      code: "ERR_TOKEN_NOT_FOR_SERVERS",
      message:
        "Cannot use token for a server: failed to normalize server token; must be in format K10<CA-HASH>::<USERNAME>:<PASSWORD> or <PASSWORD>",
      hint: "Servers take a password or the content of server/token; bootstrap tokens (<ID>.<SECRET>) are for agents",
      cause,
    });
  }

  static notBootstrap(): TokenError {
    return TokenError.of({
      code: "ERR_TOKEN_NOT_BOOTSTRAP",
      message: 'Cannot parse bootstrap token: it does not match "[a-z0-9]{6}.[a-z0-9]{16}"',
      hint: "Let k3s token create or k3s token generate make one; k3s token list shows the ids there are",
    });
  }

  static bootstrapSecret(name: string, part: string): TokenError {
    return TokenError.of({
      code: "ERR_TOKEN_BOOTSTRAP_SECRET",
      message: `Cannot read bootstrap token in secret "${name}": ${part} is not usable`,
      hint: "kube-apiserver does not accept it either; remove it with k3s kubectl -n kube-system delete secret",
    });
  }

  static caMismatch(hashes: { readonly token: string; readonly server: string }): TokenError {
    return TokenError.of({
      code: "ERR_TOKEN_CA_MISMATCH",
      message: `Cannot trust server: token CA hash does not match the Cluster CA certificate hash: ${hashes.token} != ${hashes.server}`,
      hint: `The token is of another cluster, or somebody answers in the server's place. ${COPY_TOKEN}`,
    });
  }

  static noCertificates(cause?: unknown): TokenError {
    return TokenError.of({
      code: "ERR_TOKEN_CA_UNREADABLE",
      message: "Cannot compute CA hash: the bundle holds no readable PEM certificate",
      hint: "Check that the server URL points at a k3s server and server/tls/server-ca.crt is a PEM file",
      cause,
    });
  }

  static serverUrl(url: string): TokenError {
    return TokenError.of({
      code: "ERR_TOKEN_SERVER_URL",
      message: `Cannot use server URL: only https:// URLs are supported, invalid scheme: ${url}`,
      hint: "Give --server in the form https://<host>:6443",
    });
  }

  static passwdColumns(path: string, found: number): TokenError {
    return TokenError.of({
      code: "ERR_PASSWD_COLUMNS",
      message: `Cannot read users: password file '${path}' must have at least 2 columns (password, name), found ${found}`,
      hint: "Correct the file, or remove it and start with --token so that it is made again",
    });
  }

  static fileUnusable(path: string, cause: unknown): TokenError {
    return TokenError.of({
      code: "ERR_TOKEN_FILE_UNUSABLE",
      message: `Cannot use "${path}": ${cause instanceof Error ? cause.message : String(cause)}`,
      hint: "Check that it is a regular file root can read, and that the disk is writable and not full",
      cause,
    });
  }
}

import { readIfExists } from "@k3s/files";
import type { Logger } from "@k3s/log";
import { caHash, formatCredentials, formatToken, parseServerUrl, parseToken, verifyCaHash, withUser } from "@k3s/token";
import { ClusterError } from "./errors.ts";
import { httpsRequestOnce, type HttpsAnswer, type HttpsRequest } from "./https-request.ts";

export interface TrustOptions {
  /** `https://host[:port]`. */
  readonly server: string;
  /** As errors name the server. Default: its origin. */
  readonly name?: string | undefined;
  readonly token: string;
  /** Whom the token is used for, whatever user stands in it: agents are `node`, joining servers `server`. */
  readonly user: "node" | "server";
  /** A CA bundle of the cluster that is on disk already: trusted when the token does not say otherwise. */
  readonly caFile?: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** A server that was found to be the one the token is for. */
export interface ClusterTrust {
  readonly server: URL;
  /** As errors name the server. Default: its origin. */
  readonly name?: string;
  /** Undefined: the machine's own list of authorities vouches for the server. */
  readonly ca: Buffer | undefined;
  /** The whole token, with the hash of the CA that was found; undefined where only the client certificate counts. */
  readonly token: string | undefined;
}

/**
 * Finds out whether the server is the one the token is for (k3s: ParseAndValidateToken). Nothing is said about the
 * password: the first request shows whether that is right. Rejects with TokenError or ClusterError.
 */
export async function trustCluster(options: TrustOptions): Promise<ClusterTrust> {
  const server = parseServerUrl(options.server);
  const { name = server.origin } = options;
  const parsed = withUser(parseToken(options.token), options.user);
  const credentials = formatCredentials(parsed.credentials);
  const onDisk = options.caFile === undefined ? undefined : await readIfExists(options.caFile);
  if (onDisk !== undefined && (parsed.caHash === "" || parsed.caHash === caHash(onDisk))) {
    return { server, name, ca: onDisk, token: formatToken(caHash(onDisk), credentials) };
  }
  const ca = await fetchAuthorities({ server, name }, options.signal);
  if (ca === undefined) {
    if (parsed.caHash !== "")
      options.log.warn(
        {},
        "Cluster CA certificate is trusted by the host CA bundle. Token CA hash will not be validated.",
      );
    return { server, name, ca, token: formatToken(parsed.caHash, credentials) };
  }
  if (verifyCaHash(parsed, ca) === "unverified") {
    options.log.warn(
      {},
      "the token does not name the cluster's CA: whoever answers is trusted; use the whole content of server/node-token",
    );
  }
  return { server, name, ca, token: formatToken(caHash(ca), credentials) };
}

/** Undefined when the machine's own authorities vouch for the server. */
async function fetchAuthorities(
  { server, name }: { readonly server: URL; readonly name: string },
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  const url = new URL(`${server.href.replace(/\/+$/, "")}/cacerts`);
  const isPublic = await get({ url, trust: "system", signal }).then(
    ({ status }) => status === 200,
    () => false,
  );
  if (isPublic) return undefined;
  signal.throwIfAborted();
  const answer = await get({ url, trust: "nobody", signal }).catch((error: unknown) => {
    throw ClusterError.unreachable(name, error);
  });
  if (answer.status !== 200) throw ClusterError.notK3s(name, answer.statusLine);
  try {
    await get({ url, trust: answer.body, signal });
  } catch (error) {
    throw ClusterError.untrusted(name, error);
  }
  return answer.body;
}

function get(request: HttpsRequest): Promise<HttpsAnswer> {
  return httpsRequestOnce(request);
}

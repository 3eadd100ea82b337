import { access, constants, readFile } from "node:fs/promises";
import { trustedAuthorities } from "@k3s/pki";
import {
  connect,
  credsAuthenticator,
  errors,
  jwtAuthenticator,
  nkeyAuthenticator,
  type NatsConnection,
  type NodeConnectionOptions,
} from "@nats-io/transport-node";
import { loadContextFile, type NatsContext } from "./context-file.ts";
import { NatsError } from "./errors.ts";
import { isTaken } from "./is-taken.ts";
import type { NatsEndpoint } from "./nats-endpoint.ts";
import { serverIdentityCheck } from "./server-identity.ts";

/** TLS files in PEM form, as k3s's flags name them. */
export interface TlsFiles {
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** The server's certificate is not verified; counts only together with a file. */
  readonly skipVerify?: boolean | undefined;
}

/** A connection as a link takes it over. */
export interface NatsConnected {
  readonly connection: NatsConnection;
  /** Begins the subjects on which answers are heard; undefined: that of NATS. */
  readonly inboxPrefix: string | undefined;
}

const CONNECT_MS = 5000;
/** Between two attempts to come back: short, as a write has to work 2 s after the server returned. */
const RECONNECT_MS = 250;
/** A server that is frozen is noticed after twice this time. */
const PING_MS = 5000;

/** Connects once, to the first server that answers; from then on the connection comes back for ever. Rejects with NatsError. */
export async function connectNats(endpoint: NatsEndpoint, tls: TlsFiles): Promise<NatsConnected> {
  const context = endpoint.contextFile === undefined ? undefined : await loadContextFile(endpoint.contextFile);
  const inboxPrefix = context?.inboxPrefix;
  const servers = [...(context?.servers ?? endpoint.servers)];
  const options: NodeConnectionOptions = {
    servers,
    name: `k3s using bucket: ${endpoint.bucket}`,
    timeout: CONNECT_MS,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true, // credentials that a server refuses now may be right again after its configuration is
    reconnectTimeWait: RECONNECT_MS,
    reconnectJitter: RECONNECT_MS / 2,
    reconnectJitterTLS: RECONNECT_MS / 2,
    pingInterval: PING_MS,
    maxPingOut: 2,
    noAsyncTraces: true,
    ...(await credentials(endpoint, context)),
    ...withIdentity(await tlsOptions(tls, context), servers),
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
  };
  if (servers.length === 0) throw NatsError.badEndpoint(endpoint.shown, ["its contextFile names no url"]);
  try {
    return { connection: await connectTrusting(options, servers), inboxPrefix };
  } catch (error) {
    if (error instanceof errors.AuthorizationError) throw NatsError.refused(endpoint.shown, error);
    if (isTlsFailure(error)) throw NatsError.untrusted(endpoint.shown, error);
    const isForeign = lacksGreeting(error) && (await isTaken(servers));
    throw isForeign ? NatsError.foreign(endpoint.shown, error) : NatsError.unreachable(endpoint.shown, error);
  }
}

/**
 * Options of TLS demand it, so a server that may do without it gets none. One that demands it itself is checked against Node's list
 * then, and only after that against the system's as well, and by its address.
 */
async function connectTrusting(options: NodeConnectionOptions, servers: readonly string[]): Promise<NatsConnection> {
  try {
    return await connect(options);
  } catch (error) {
    if (options.tls !== undefined || !isUnknown(error)) throw error;
    return await connect({ ...options, ...withIdentity({ tls: { ca: trustedAuthorities() } }, servers) });
  }
}

function withIdentity({ tls }: TlsOption, servers: readonly string[]): TlsOption {
  return tls == null ? {} : { tls: { ...tls, checkServerIdentity: serverIdentityCheck(servers) } as typeof tls };
}

type Credentials = Pick<NodeConnectionOptions, "user" | "pass" | "token" | "authenticator">;

/** What the endpoint itself says comes before the context file. */
async function credentials(endpoint: NatsEndpoint, context: NatsContext | undefined): Promise<Credentials> {
  const { user, password, token, credsFile } = endpoint;
  if (credsFile !== undefined) return { authenticator: credsAuthenticator(await read(credsFile)) };
  if (user !== undefined) return { user, pass: password ?? "" };
  if (token !== undefined) return { token };
  return context === undefined ? {} : await contextCredentials(context);
}

/** In the order of the `nats` command, which takes the first it finds. */
async function contextCredentials(context: NatsContext): Promise<Credentials> {
  const { user, password, credsFile, nkeyFile, jwt, seed, token } = context;
  if (user !== undefined) return { user, pass: password ?? "" };
  if (credsFile !== undefined) return { authenticator: credsAuthenticator(await read(credsFile)) };
  if (nkeyFile !== undefined)
    return { authenticator: nkeyAuthenticator(Buffer.from((await read(nkeyFile)).toString("utf8").trim())) };
  if (jwt !== undefined)
    return { authenticator: jwtAuthenticator(jwt, seed === undefined ? undefined : Buffer.from(seed)) };
  return token === undefined ? {} : { token };
}

type TlsOption = Pick<NodeConnectionOptions, "tls">;

async function tlsOptions(flags: TlsFiles, context: NatsContext | undefined): Promise<TlsOption> {
  const named = namedFiles(flags, context);
  if (named.size === 0 && context?.usesTls !== true) return {};
  for (const path of named.values()) await assertReadable(path);
  const options = { ...Object.fromEntries(named), ...(context?.isTlsFirst === true && { handshakeFirst: true }) };
  if (flags.skipVerify === true && named.size > 0) return { tls: { ...options, rejectUnauthorized: false } };
  return { tls: { ...options, ...(!named.has("caFile") && { ca: trustedAuthorities() }) } };
}

/** Paths by the library's name for them. Flags come before the context file. */
function namedFiles(flags: TlsFiles, context: NatsContext | undefined): ReadonlyMap<string, string> {
  const paths = {
    caFile: flags.caFile ?? context?.caFile,
    certFile: flags.certFile ?? context?.certFile,
    keyFile: flags.keyFile ?? context?.keyFile,
  };
  const entries = Object.entries(paths).map(([name, path = ""]) => [name, path] as const);
  return new Map(entries.filter(([, path]) => path !== ""));
}

/** Codes of OpenSSL for a certificate that no known CA has signed, and of Node for one that is not the server's. */
function isUnknown(error: unknown): boolean {
  for (let current = error; current instanceof Error; current = current.cause)
    if ("code" in current && /SELF_SIGNED|UNABLE_TO_(?:GET_ISSUER|VERIFY)|ALTNAME/.test(String(current.code)))
      return true;
  return false;
}

/** Codes of OpenSSL and Node for a certificate that fails verification, or the library's word for a server without TLS. */
function isTlsFailure(error: unknown): boolean {
  for (let current = error; current instanceof Error; current = current.cause) {
    const code = "code" in current ? String(current.code) : "";
    if (/CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL|HANDSHAKE_/.test(code)) return true;
    if (current.message.includes("does not support 'tls'")) return true;
  }
  return false;
}

/** By the library's words; a time-out is the same whether there was a connection or not. */
function lacksGreeting(error: unknown): boolean {
  return (
    error instanceof errors.TimeoutError ||
    (error instanceof Error && error.message.includes("unexpected response from server"))
  );
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw NatsError.badFile(path, error);
  }
}

async function assertReadable(path: string): Promise<void> {
  try {
    await access(path, constants.R_OK);
  } catch (error) {
    throw NatsError.badFile(path, error);
  }
}

import { once } from "node:events";
import { lstat, unlink } from "node:fs/promises";
import { connect, createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";
import { EtcdApiError } from "./errors.ts";
import { toListenFailure, type ListenPlace } from "./listen-failure.ts";

/** Given each accepted connection. */
export type OnConnection = (connection: Socket) => void;

/** The code of a client that speaks TLS to an address without it. */
export const TLS_TO_PLAIN = "TLS_TO_PLAIN";

/** A client whose TLS handshake failed. */
export interface RefusedClient {
  readonly address: string | undefined;
  /** Node's, for the certificate or for the handshake, or {@link TLS_TO_PLAIN}. */
  readonly code: string;
}

export type OnRefused = (client: RefusedClient) => void;

export interface Listener {
  /** The bound port; 0 for a unix socket. */
  readonly port: number;
  /** Accepts no more and frees the address. Open connections are not touched. */
  close(): void;
}

/** sun_path of unix(7) without the terminating zero. */
const SOCKET_PATH_BYTES_MAX = 107;
const OWNER_ONLY = 0o177;

/** Rejects with EtcdApiError when `path` cannot become our socket; a socket that nobody answers on can. */
export async function assertSocketFree(path: string): Promise<void> {
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) throw EtcdApiError.pathTooLong(path, SOCKET_PATH_BYTES_MAX);
  const found = await lstat(path).catch((error: unknown) => absentOrFailure(path, error));
  if (found === undefined) return;
  if (!found.isSocket()) throw EtcdApiError.notASocket(path);
  if (await answers(path)) throw EtcdApiError.socketInUse(path);
}

/** Listens on a unix socket that has mode 0600 from its first moment. A stale one is replaced. */
export async function listenUnix(path: string, onConnection: OnConnection): Promise<Listener> {
  await assertSocketFree(path);
  await unlink(path).catch((error: unknown) => absentOrFailure(path, error));
  const server = createServer(onConnection);
  const umask = process.umask(OWNER_ONLY);
  try {
    server.listen(path); // binds before it returns, so the mask covers this file only
  } finally {
    process.umask(umask);
  }
  return listening(server, { path });
}

/** Listens on a TCP address; port 0 takes a free one. Connections are given on once their handshake is done. */
export async function listenTcp(
  address: TcpAddress,
  onConnection: OnConnection,
  onRefused: OnRefused = () => undefined,
): Promise<Listener> {
  const { host, port, tls } = address;
  const server =
    tls === undefined
      ? createServer({ noDelay: true }, onConnection)
      : tellRefused(listenTls(tls, onConnection), onRefused);
  const options: ListenOptions = { host, port };
  server.listen(options);
  return listening(server, { host, port });
}

/**
 * Rejects with EtcdApiError when the address cannot be listened on: taken, or none of this machine. It is had for that moment, since only
 * having it tells; who connects in it is turned away, as before and after.
 */
export async function assertTcpFree({ host, port }: TcpAddress): Promise<void> {
  const listener = await listenTcp({ host, port }, (connection) => connection.destroy());
  listener.close();
}

export interface TcpAddress {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** Without it there is neither encryption nor authentication: only for addresses nobody else can reach. */
  readonly tls?: TlsIdentity | undefined;
}

/** PEM texts. */
export interface TlsIdentity {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  /** With it clients need a certificate that it has signed. */
  readonly clientCa?: string | Buffer | undefined;
}

const HANDSHAKE_MS = 10_000;

function listenTls({ cert, key, clientCa }: TlsIdentity, onConnection: OnConnection): TlsServer {
  const needsCertificate = clientCa !== undefined;
  return createTlsServer(
    {
      cert,
      key,
      ...(needsCertificate ? { ca: clientCa } : {}),
      requestCert: needsCertificate,
      rejectUnauthorized: needsCertificate,
      minVersion: "TLSv1.2",
      ALPNProtocols: ["h2", "http/1.1"],
      handshakeTimeout: HANDSHAKE_MS,
      noDelay: true,
    },
    onConnection,
  );
}

function tellRefused(server: TlsServer, onRefused: OnRefused): TlsServer {
  const addresses = new WeakMap<object, string>();
  server.on("connection", (raw: Socket) => {
    if (raw.remoteAddress !== undefined) addresses.set(raw, raw.remoteAddress);
  });
  return server.on("tlsClientError", (error: Error & { readonly code?: unknown }, socket) => {
    // A socket that was closed has no address any more, and Node closes it first. The test of the log guards the name.
    const raw: unknown = Reflect.get(socket, "_parent");
    const address = typeof raw === "object" && raw !== null ? addresses.get(raw) : undefined;
    // Of a certificate that it refused Node tells as of a client that went away. It is null before that.
    const refusal = socket.authorizationError as unknown;
    const code = typeof refusal === "string" ? refusal : String(error.code);
    onRefused({ address, code });
  });
}

async function listening(server: Server, place: ListenPlace): Promise<Listener> {
  try {
    await once(server, "listening");
  } catch (error) {
    throw await toListenFailure(place, error);
  }
  const bound = server.address();
  return {
    port: bound !== null && typeof bound === "object" ? bound.port : 0,
    close: () => void server.close(), // removes the socket file at once
  };
}

async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return true;
  } catch (error) {
    if (hasCode(error, "ECONNREFUSED", "ENOENT")) return false;
    throw await toListenFailure({ path }, error);
  } finally {
    socket.destroy();
  }
}

async function absentOrFailure(path: string, error: unknown): Promise<undefined> {
  if (!hasCode(error, "ENOENT")) throw await toListenFailure({ path }, error);
  return undefined;
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}

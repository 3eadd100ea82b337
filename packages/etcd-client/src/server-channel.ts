import { basename, resolve } from "node:path";
import { Client, credentials, status, type ChannelCredentials, type ServiceError } from "@grpc/grpc-js";
import { EtcdCallError } from "./errors.ts";

/** Content of PEM files. */
export interface TlsContent {
  readonly ca: Buffer | null;
  readonly cert: Buffer | null;
  readonly key: Buffer | null;
  readonly skipVerify: boolean;
}

export interface ServerChannelOptions {
  /** Address with its scheme. */
  readonly server: string;
  readonly tls: TlsContent;
  /** Where relative paths of sockets start. */
  readonly folder: string;
}

/** One call; `timeoutMs` counts from its start. */
export interface Call {
  readonly path: string;
  readonly request: Buffer;
  readonly timeoutMs: number;
}

/** No server could do it, so another may: etcd tells of a missing leader this way as well. */
const AWAY: ReadonlySet<status> = new Set([status.UNAVAILABLE, status.DEADLINE_EXCEEDED]);

/** The connection to one server of an etcd; made when it is first needed, and made again when it is lost. */
export class ServerChannel {
  readonly #client: Client;

  constructor({ server, tls, folder }: ServerChannelOptions) {
    const [, scheme = "", rest = ""] = /^([a-z]+):\/\/(.*)$/s.exec(server) ?? [];
    const isSocket = scheme.startsWith("unix");
    const target = isSocket ? `unix:${resolve(folder, rest)}` : `dns:${rest}`;
    this.#client = new Client(target, credentialsFor(scheme, tls), {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      "grpc.enable_http_proxy": 0, // as etcd's own client
      "grpc.initial_reconnect_backoff_ms": 200,
      "grpc.max_reconnect_backoff_ms": 2000,
      "grpc.use_local_subchannel_pool": 1,
      // A certificate names the socket of an etcd by its file name, as etcd's own client expects it.
      ...(isSocket
        ? { "grpc.ssl_target_name_override": basename(rest), "grpc.default_authority": basename(rest) }
        : {}),
    });
  }

  /** Rejects with EtcdCallError when there is no connection within the time. */
  ready(timeoutMs: number): Promise<void> {
    const { promise, resolve: done, reject } = Promise.withResolvers<void>();
    this.#client.waitForReady(Date.now() + timeoutMs, (error) => {
      if (error === undefined) done();
      else reject(new EtcdCallError({ isAway: true, details: "there is no connection", cause: error }));
    });
    return promise;
  }

  /** Rejects with EtcdCallError. */
  call({ path, request, timeoutMs }: Call): Promise<Buffer> {
    const { promise, resolve: done, reject } = Promise.withResolvers<Buffer>();
    const onAnswer = (error: ServiceError | null, answer?: Buffer) => {
      if (error === null && answer !== undefined) done(answer);
      else reject(toCallError(error));
    };
    this.#client.makeUnaryRequest(path, asIs, asIs, request, { deadline: Date.now() + timeoutMs }, onAnswer);
    return promise;
  }

  close(): void {
    this.#client.close();
  }
}

function credentialsFor(scheme: string, { ca, cert, key, skipVerify }: TlsContent): ChannelCredentials {
  if (scheme === "http" || scheme === "unix") return credentials.createInsecure();
  return credentials.createSsl(ca, key, cert, { rejectUnauthorized: !skipVerify });
}

function toCallError(error: ServiceError | null): EtcdCallError {
  const isAway = error === null || AWAY.has(error.code);
  return new EtcdCallError({ isAway, details: error?.details ?? "there was no answer", cause: error });
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}

import { basename, resolve } from "node:path";
import {
  Client,
  connectivityState,
  credentials,
  status,
  type ChannelCredentials,
  type ClientUnaryCall,
  type ServiceError,
} from "@grpc/grpc-js";
import { EtcdCallError, formatSeconds } from "./errors.ts";
import { explainRefusal, type Explanation, type Refusal } from "./explain-refusal.ts";
import type { TlsContent } from "./tls-content.ts";

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

/** A channel that failed to connect tells why at once, one that still tries not at all. */
const REASON_MS = 50;
const { READY, TRANSIENT_FAILURE } = connectivityState;
/** Any call that reads. */
const PROBE = { path: "/etcdserverpb.Maintenance/Status", request: Buffer.alloc(0), timeoutMs: REASON_MS };

/** The connection to one server of an etcd; made when it is first needed, and made again when it is lost. */
export class ServerChannel {
  readonly #client: Client;
  readonly #place: Omit<Refusal, "details">;
  readonly #calls = new Set<ClientUnaryCall>();
  #isClosed = false;

  constructor({ server, tls, folder }: ServerChannelOptions) {
    const [, scheme = "", rest = ""] = /^([a-z]+):\/\/(.*)$/s.exec(server) ?? [];
    const isSocket = scheme.startsWith("unix");
    const target = isSocket ? `unix:${resolve(folder, rest)}` : `dns:${rest}`;
    this.#place = { scheme, target: rest, tls };
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

  /** Rejects with EtcdCallError when there is no connection within the time, and at once where there will be none. */
  async ready(timeoutMs: number): Promise<void> {
    const giveUpAt = Date.now() + timeoutMs;
    const state = await this.#reach([READY, TRANSIENT_FAILURE], giveUpAt);
    if (state === READY) return;
    let why = await this.#reason(timeoutMs);
    if (state === TRANSIENT_FAILURE && !why.isCertain) {
      if ((await this.#reach([READY], giveUpAt)) === READY) return;
      why = await this.#reason(timeoutMs);
    }
    throw new EtcdCallError({ isAway: true, details: why.details, cause: undefined });
  }

  /** The first of `wanted` that the connection comes to; undefined: none of them in time, or it was closed. */
  async #reach(wanted: readonly connectivityState[], giveUpAt: number): Promise<connectivityState | undefined> {
    const channel = this.#client.getChannel();
    try {
      while (!this.#isClosed) {
        const state = channel.getConnectivityState(true);
        if (wanted.includes(state)) return state;
        const { promise, resolve: done, reject } = Promise.withResolvers<void>();
        channel.watchConnectivityState(state, giveUpAt, (error) => (error === undefined ? done() : reject(error)));
        await promise;
      }
    } catch {
      // late, or closed
    }
    return undefined;
  }

  /** Why there is no connection: the library tells it to calls alone. */
  async #reason(waitedMs: number): Promise<Explanation> {
    try {
      await this.call(PROBE);
    } catch (error) {
      if (this.#isClosed) throw EtcdCallError.closed();
      if (error instanceof EtcdCallError && isUnavailable(error.cause))
        return await explainRefusal({ ...this.#place, details: error.details });
    }
    return { details: `no connection within ${formatSeconds(waitedMs)}`, isCertain: false };
  }

  /** Rejects with EtcdCallError. */
  call({ path, request, timeoutMs }: Call): Promise<Buffer> {
    if (this.#isClosed) return Promise.reject(EtcdCallError.closed());
    const { promise, resolve: done, reject } = Promise.withResolvers<Buffer>();
    const onAnswer = (error: ServiceError | null, answer?: Buffer) => {
      this.#calls.delete(running);
      if (error === null && answer !== undefined) done(answer);
      else reject(this.#isClosed ? EtcdCallError.closed() : toCallError(error, timeoutMs));
    };
    const options = { deadline: Date.now() + timeoutMs };
    const running = this.#client.makeUnaryRequest(path, asIs, asIs, request, options, onAnswer);
    this.#calls.add(running);
    return promise;
  }

  /** Calls that run reject, as do all later ones. A closed channel of the library would connect anew when it is asked for its state. */
  close(): void {
    this.#isClosed = true;
    for (const call of this.#calls) call.cancel(); // the library lets them run, and keeps their connection
    this.#client.close();
  }
}

function credentialsFor(scheme: string, { ca, cert, key, skipVerify }: TlsContent): ChannelCredentials {
  if (scheme === "http" || scheme === "unix") return credentials.createInsecure();
  return credentials.createSsl(ca, key, cert, { rejectUnauthorized: !skipVerify });
}

function toCallError(error: ServiceError | null, timeoutMs: number): EtcdCallError {
  if (error?.code === status.DEADLINE_EXCEEDED) {
    const details = `no answer within ${formatSeconds(timeoutMs)}`;
    return new EtcdCallError({ isAway: true, details, silentMs: timeoutMs, cause: error });
  }
  // No server could do it, so another may: etcd tells of a missing leader this way as well.
  const isAway = error === null || error.code === status.UNAVAILABLE;
  const details = error === null ? "there was no answer" : withoutFrame(error.details);
  return new EtcdCallError({ isAway, details, cause: error });
}

function isUnavailable(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === status.UNAVAILABLE;
}

/** The connection's own error, where the library has put its words around one, without the time of it. */
function withoutFrame(details: string): string {
  const own = /^No connection established\. Last error: (?:\w*Error: )?(.+)\. Resolution note: /s.exec(details)?.[1];
  return (own ?? details).replace(/ \(\d{4}-\d\d-\d\dT[\d:.]+Z\)$/, "");
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}

import { readFile } from "node:fs/promises";
import { abortReason, soonAfter } from "@k3s/async";
import { trustedAuthorities } from "@k3s/pki";
import { EtcdCallError, EtcdClientError } from "./errors.ts";
import {
  decodeGranted,
  decodeLeaseIds,
  decodeRange,
  decodeStatus,
  decodeSucceeded,
  decodeTimeToLive,
  encodeCompaction,
  encodeGrant,
  encodeGuardedWrite,
  encodeRange,
  encodeTimeToLive,
  type EtcdLease,
  type EtcdRange,
  type EtcdStatus,
  type GuardedWrite,
  type RangeRequest,
} from "./messages.ts";
import { ServerChannel } from "./server-channel.ts";
import type { TlsContent } from "./tls-content.ts";

/** Paths of PEM files. */
interface EtcdTlsFiles {
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  readonly skipVerify?: boolean | undefined;
}

/** Which cluster a client speaks to, and how long a call may take. */
export interface EtcdClientOptions {
  /** Addresses of one cluster, each with its scheme: `http`, `https`, `unix` or `unixs`. */
  readonly servers: readonly string[];
  readonly tls?: EtcdTlsFiles;
  /** Where relative paths of sockets start. Default: the working folder. */
  readonly folder?: string;
  /** For one call, connecting included. Default 5 s. */
  readonly timeoutMs?: number;
  /** For connecting alone. Default: as long as a call may take. */
  readonly connectMs?: number;
  /** All calls reject with its reason once it aborts. */
  readonly signal?: AbortSignal;
}

const TIMEOUT_MS = 5000;
const NEVER = new AbortController().signal;
const EMPTY = Buffer.alloc(0);

type Limits = Required<Pick<EtcdClientOptions, "timeoutMs" | "connectMs" | "signal">>;

/**
 * A client of an etcd that others run. It uses whichever server is connected first, and another one after a server
 * could not answer. Nothing is tried twice: whoever calls knows whether that is right. All calls reject with EtcdCallError.
 */
export class EtcdClient {
  readonly #channels: readonly ServerChannel[];
  readonly #limits: Limits;
  #current: ServerChannel | undefined;
  /** Could not answer last time. */
  #suspect: ServerChannel | undefined;
  readonly #closing = new AbortController();
  /** Of the caller, or of close(): whichever came first. */
  readonly #end: AbortSignal;

  private constructor(channels: readonly ServerChannel[], limits: Limits) {
    this.#channels = channels;
    this.#limits = limits;
    this.#end = AbortSignal.any([limits.signal, this.#closing.signal]);
  }

  /** Reads the TLS files; connects with the first call. Rejects with EtcdClientError when a file cannot be read. */
  static async create(options: EtcdClientOptions): Promise<EtcdClient> {
    const { servers, folder = ".", timeoutMs = TIMEOUT_MS, connectMs = timeoutMs, signal = NEVER } = options;
    const usesTls = servers.some((server) => /^(?:https|unixs):/.test(server));
    const tls = await readTls(options.tls ?? {}, usesTls);
    return new EtcdClient(
      servers.map((server) => new ServerChannel({ server, tls, folder })),
      { timeoutMs, connectMs: Math.min(connectMs, timeoutMs), signal },
    );
  }

  async range(request: RangeRequest): Promise<EtcdRange> {
    return decodeRange(await this.#call("/etcdserverpb.KV/Range", encodeRange(request)));
  }

  /** Whether it was written: false when the key was changed by somebody else. */
  async write(write: GuardedWrite): Promise<boolean> {
    return decodeSucceeded(await this.#call("/etcdserverpb.KV/Txn", encodeGuardedWrite(write)));
  }

  /** A lease that ends after so many seconds unless it is kept alive. */
  async grant(ttlSeconds: number): Promise<bigint> {
    return decodeGranted(await this.#call("/etcdserverpb.Lease/LeaseGrant", encodeGrant(ttlSeconds)));
  }

  /** Forgets history before `revision`. Resolves once it is refused to readers. */
  async compact(revision: number): Promise<void> {
    await this.#call("/etcdserverpb.KV/Compact", encodeCompaction(revision, false));
  }

  async status(): Promise<EtcdStatus> {
    return decodeStatus(await this.#call("/etcdserverpb.Maintenance/Status", EMPTY));
  }

  /** All leases, each with what is left of it. */
  async leases(): Promise<readonly EtcdLease[]> {
    const ids = decodeLeaseIds(await this.#call("/etcdserverpb.Lease/LeaseLeases", EMPTY));
    const leases: EtcdLease[] = [];
    for (const id of ids)
      leases.push(decodeTimeToLive(await this.#call("/etcdserverpb.Lease/LeaseTimeToLive", encodeTimeToLive(id))));
    return leases;
  }

  /** Ends the connections. Calls that run and all later ones reject at once. Any number of times. */
  close(): void {
    this.#closing.abort(EtcdCallError.closed());
    for (const channel of this.#channels) channel.close();
  }

  async #call(path: string, request: Buffer): Promise<Buffer> {
    const signal = this.#end;
    signal.throwIfAborted();
    return await soonAfter(this.#ask(path, request), { signal, ms: 0, late: () => abortReason(signal) });
  }

  async #ask(path: string, request: Buffer): Promise<Buffer> {
    const startedAt = performance.now();
    const channel = await this.#connected();
    const left = this.#limits.timeoutMs - (performance.now() - startedAt);
    try {
      return await channel.call({ path, request, timeoutMs: Math.max(1, left) });
    } catch (error) {
      if (error instanceof EtcdCallError && error.isAway) {
        this.#suspect = channel;
        this.#current = undefined;
      }
      throw error;
    }
  }

  async #connected(): Promise<ServerChannel> {
    if (this.#current !== undefined) return this.#current;
    const others = this.#channels.filter((channel) => channel !== this.#suspect);
    const { connectMs } = this.#limits;
    const halfMs = connectMs / 2;
    this.#current =
      others.length === this.#channels.length || others.length === 0
        ? await firstReady(this.#channels, connectMs)
        : await firstReady(others, halfMs).catch(() => firstReady(this.#channels, halfMs));
    return this.#current;
  }
}

async function firstReady(channels: readonly ServerChannel[], timeoutMs: number): Promise<ServerChannel> {
  try {
    return await Promise.any(channels.map((channel) => channel.ready(timeoutMs).then(() => channel)));
  } catch (error) {
    const errors: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
    const details = new Set(errors.map((one) => (one instanceof EtcdCallError ? one.details : String(one))));
    throw new EtcdCallError({ isAway: true, details: [...details].join("; "), cause: undefined });
  }
}

async function readTls(files: EtcdTlsFiles, usesTls: boolean): Promise<TlsContent> {
  const { caFile, certFile, keyFile, skipVerify = false } = files;
  const [ca = null, cert = null, key = null] = await Promise.all([caFile, certFile, keyFile].map(readPem));
  const isOpen = ca === null && usesTls && !skipVerify; // the library's own list is Node's, without the system's
  return { ca: isOpen ? Buffer.from(trustedAuthorities()) : ca, cert, key, skipVerify };
}

async function readPem(path: string | undefined): Promise<Buffer | null> {
  if (path === undefined) return null;
  try {
    return await readFile(path);
  } catch (error) {
    throw EtcdClientError.tlsFile(path, error);
  }
}

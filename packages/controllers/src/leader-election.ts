import { deadline, sleep } from "@k3s/async";
import { ApiError, isConflict, type KubeClient, type KubeObject } from "@k3s/kube-client";
import type { Logger } from "@k3s/log";
import type { ElectionTimes } from "./election-times.ts";

export interface LeaderElectionOptions {
  readonly client: () => KubeClient;
  /** Of the Lease in kube-system. */
  readonly name: string;
  /** Who this is; the same after a restart, so that nobody waits for a lease of its own. */
  readonly identity: string;
  readonly times: ElectionTimes;
  readonly log: Logger;
  /** Milliseconds on a clock that never goes back; by default this process's own. */
  readonly now?: () => number;
  /** Waits on the same clock; rejects when `signal` aborts. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

type Lease = KubeObject & { readonly spec?: LeaseSpec };

interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}

const COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
/** Others would find out by themselves, only later. */
const RELEASE_LIMIT_MS = 2_000;
/** Of the time between the last renewal that may still come and the end of the lease. */
const STEP_DOWN_SHARE = 0.8;

/**
 *   follower --acquire()--> leader --hold() ends--> follower
 *                              '-- release(): the next one need not wait
 *
 * One of several processes leads, by a Lease as client-go's. No clock is compared with another's: a lease has ended when its
 * record stood still for its duration on our own. Every write names the version that was read, so of two that try one fails.
 */
export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  readonly #path: string;
  readonly #now: () => number;
  readonly #sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** The record as last seen, and when it was first seen so. */
  #seen = { version: "", atMs: 0 };
  /** When the request was sent that last made this one the leader: others count from later on. */
  #renewedMs = 0;
  /** Whether a claim was sent since the lease was last given up. */
  #mayHold = false;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#path = `${COLLECTION}/${options.name}`;
    this.#now = options.now ?? (() => performance.now());
    this.#sleep = options.sleep ?? sleep;
  }

  /** How long after {@link hold} nobody else leads yet, with a fifth to spare: what a leader does has to end within. */
  get stepDownMs(): number {
    const { leaseMs, renewMs } = this.#options.times;
    return (leaseMs - renewMs) * STEP_DOWN_SHARE;
  }

  /** Resolves once this one leads; rejects with the reason of `signal`. */
  async acquire(signal: AbortSignal): Promise<void> {
    const { retryMs, renewMs } = this.#options.times;
    const isTroubled = { said: false };
    for (;;) {
      signal.throwIfAborted();
      const attempt = this.#attempt(renewMs, signal, (inner) => this.#tryAcquire(inner));
      const isLeader = await attempt.catch((error: unknown) => this.#report(error, isTroubled, signal));
      if (isLeader === true) return;
      await this.#sleep(retryMs * (1 + Math.random()), signal);
    }
  }

  /**
   * For a leader: says so again and again. Resolves when it leads no more, also if nothing is answered at all, or `signal` aborts.
   * Never rejects.
   */
  async hold(signal: AbortSignal): Promise<void> {
    const { retryMs, renewMs } = this.#options.times;
    const isTroubled = { said: false };
    const left = () => this.#renewedMs + renewMs - this.#now();
    for (;;) {
      await this.#sleep(Math.max(0, Math.min(retryMs, left())), signal).catch(() => undefined);
      const leftMs = left();
      if (signal.aborted || leftMs <= 0) return;
      const attempt = this.#attempt(leftMs, signal, (inner) => this.#tryRenew(inner));
      const isLeader = await attempt.catch((error: unknown) => this.#report(error, isTroubled, signal));
      if (isLeader === false) return;
    }
  }

  /** Gives the lease up; only once nothing is done any more that a leader does. Never rejects. */
  async release(): Promise<void> {
    if (!this.#mayHold) return;
    this.#mayHold = false;
    using limit = deadline(RELEASE_LIMIT_MS, "Giving the lease up");
    try {
      while (!(await this.#tryRelease(limit)));
    } catch (error) {
      this.#options.log.debug({ error }, "lease is not given up, it ends by itself");
    }
  }

  /** False when the lease changed meanwhile: a renewal that was given up may still arrive. */
  async #tryRelease(signal: AbortSignal): Promise<boolean> {
    const lease = await this.#read(signal);
    if (lease?.spec?.holderIdentity !== this.#options.identity) return true;
    const time = microTime();
    const spec = { holderIdentity: "", leaseDurationSeconds: 1, renewTime: time, acquireTime: time };
    try {
      await this.#write(lease, spec, signal);
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }

  async #tryAcquire(signal: AbortSignal): Promise<boolean> {
    const { identity, log, name } = this.#options;
    const lease = await this.#read(signal);
    const { holderIdentity: holder = "", leaseTransitions = 0 } = lease?.spec ?? {};
    if (lease !== undefined && holder !== "" && holder !== identity && !this.#hasEnded(lease)) return false;
    const time = microTime();
    const transitions = lease === undefined || holder === identity ? leaseTransitions : leaseTransitions + 1;
    const spec = { ...this.#claim(time), acquireTime: time, leaseTransitions: transitions };
    if (!(await this.#claimed(lease, spec, signal))) return false;
    log.info({ lease: name, before: holder }, "leading from now on");
    return true;
  }

  /** False when somebody else leads; undefined when that is not known. */
  async #tryRenew(signal: AbortSignal): Promise<boolean | undefined> {
    const { identity } = this.#options;
    const lease = await this.#read(signal);
    if (lease?.spec?.holderIdentity !== identity) return false;
    return (await this.#claimed(lease, this.#claim(microTime()), signal)) ? true : undefined;
  }

  /** False when somebody else was faster. */
  async #claimed(lease: Lease | undefined, spec: LeaseSpec, signal: AbortSignal): Promise<boolean> {
    const sentMs = this.#now();
    this.#mayHold = true;
    try {
      await this.#write(lease, spec, signal);
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
    this.#renewedMs = sentMs;
    return true;
  }

  #claim(renewTime: string): LeaseSpec {
    const { identity, times } = this.#options;
    return { holderIdentity: identity, leaseDurationSeconds: Math.ceil(times.leaseMs / 1_000), renewTime };
  }

  async #write(lease: Lease | undefined, spec: LeaseSpec, signal: AbortSignal): Promise<void> {
    const { client, name } = this.#options;
    if (lease === undefined) {
      const metadata = { name, namespace: "kube-system" };
      await client().create(
        COLLECTION,
        { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec },
        signal,
      );
      return;
    }
    const { resourceVersion } = lease.metadata;
    await client().patch(this.#path, { type: "merge", body: { metadata: { resourceVersion }, spec } }, signal);
  }

  /** Undefined when there is none. */
  async #read(signal: AbortSignal): Promise<Lease | undefined> {
    try {
      const lease = await this.#options.client().get<Lease>(this.#path, signal);
      const version = `${lease.metadata.uid ?? ""} ${lease.metadata.resourceVersion ?? ""}`;
      if (version !== this.#seen.version) this.#seen = { version, atMs: this.#now() };
      return lease;
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** By the duration that its holder has named. */
  #hasEnded({ spec }: Lease): boolean {
    const { leaseDurationSeconds: seconds = 0 } = spec ?? {};
    const durationMs = seconds > 0 ? seconds * 1_000 : this.#options.times.leaseMs;
    return this.#now() - this.#seen.atMs >= durationMs;
  }

  async #attempt<T>(leftMs: number, signal: AbortSignal, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
    using limit = deadline(Math.min(leftMs, this.#options.times.renewMs / 3), "Asking for the lease", signal);
    return await task(limit);
  }

  /** Once per trouble. */
  #report(error: unknown, isTroubled: { said: boolean }, signal: AbortSignal): undefined {
    const { log, name } = this.#options;
    if (signal.aborted) return;
    const level = isTroubled.said ? "debug" : "warn";
    isTroubled.said = true;
    log.log(level, { error, lease: name }, "lease can be neither asked for nor renewed, will try again");
  }
}

/** As Kubernetes' MicroTime: RFC 3339 with six digits. */
function microTime(): string {
  return new Date().toISOString().replace("Z", "000Z");
}

import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { sleep } from "@k3s/async";
import { until } from "@k3s/testkit";
import type {
  KeyValue,
  Outcome,
  RangeRequest,
  RangeResponse,
  Request,
  Response,
  TxnOperation,
  TxnRequest,
} from "../../consistency/history/operation.ts";
import type { WatchEvent } from "../../consistency/history/watch-session.ts";
import { Connection } from "../../consistency/wire/connection.ts";
import { encodeWatchCreate } from "../../consistency/wire/requests.ts";

const RECONNECT_MS = 20;

/** Everything there is. */
export const EVERYTHING = { key: "\0", end: "\0" } as const;
/** What Kubernetes keeps. */
export const REGISTRY = { key: "/registry/", end: "/registry0" } as const;

/** What the API server sends to create an object (`mod` 0), or to change one that it has read at revision `mod`. */
export function write(key: string, mod: number, value: string): TxnRequest {
  return guarded(key, mod, { kind: "put", key, value });
}

/** What the API server sends to delete an object that it has read at revision `mod`. */
export function remove(key: string, mod: number): TxnRequest {
  return guarded(key, mod, { kind: "delete", key, end: "" });
}

function guarded(key: string, mod: number, operation: TxnOperation): TxnRequest {
  const compare = { key, end: "", result: "equal", target: { field: "mod", value: mod } } as const;
  return { kind: "txn", compare: [compare], success: [operation], failure: [{ kind: "range", key, end: "" }] };
}

type ResponseOf<R extends Request> = Extract<Response, { readonly kind: R["kind"] }>;

/** Carries a request out that has to be answered. */
export async function ask<R extends Request>(connection: Connection, request: R): Promise<ResponseOf<R>> {
  const outcome = await connection.perform(request);
  assert.equal(outcome.kind, "ok", JSON.stringify([request, outcome]));
  return (outcome.kind === "ok" ? outcome.response : assert.fail()) as ResponseOf<R>; // sound: answers have the kind of their request
}

/** Carries a guarded write out that has to succeed; resolves with its revision. */
export async function succeed(connection: Connection, request: TxnRequest): Promise<number> {
  const { succeeded, revision } = await ask(connection, request);
  assert.equal(succeeded, true, JSON.stringify(request));
  return revision;
}

/** Reads a span; of everything, when none is named. */
export function list(connection: Connection, request: Partial<RangeRequest> = {}): Promise<RangeResponse> {
  return ask(connection, { ...EVERYTHING, ...request, kind: "range" });
}

/** `key=value@revision` of each. */
export function lines(kvs: readonly KeyValue[]): string[] {
  return kvs.map(({ key, value, mod }) => `${key}=${value}@${mod}`);
}

/** Whether a request failed in one of the two ways that leave its outcome open. */
export function isUnavailable(outcome: Outcome): boolean {
  return outcome.kind === "unknown" && /^(UNAVAILABLE|DEADLINE_EXCEEDED):/.test(outcome.text);
}

/** Where a {@link Follower} starts. */
interface FollowOptions {
  readonly target: string;
  readonly startRevision?: number;
}

/** Watches everything from a revision on, as an informer does: from where it was, whenever the stream ends. */
export class Follower {
  readonly events: WatchEvent[] = [];
  /** Headers of messages without events, and how many events had been told before. */
  readonly progress: { readonly revision: number; readonly after: number }[] = [];
  /** Why the server ended the watch for good. */
  canceled: string | undefined;
  readonly #target: string;
  readonly #stop = new AbortController();
  #next: number;

  constructor({ target, startRevision = 1 }: FollowOptions) {
    this.#target = target;
    this.#next = startRevision;
  }

  /** Starts one that ends with the test. */
  static start(t: TestContext, options: FollowOptions): Follower {
    const follower = new Follower(options);
    const done = follower.#run();
    t.after(async () => {
      follower.#stop.abort();
      await done;
    });
    return follower;
  }

  /** One line per event: revision, type, key, value, and the value before. */
  get lines(): string[] {
    return this.events.map(({ type, kv, prevKv }) => {
      const before = prevKv === undefined ? "" : ` was ${prevKv.value}@${prevKv.mod}`;
      return `${kv.mod} ${type} ${kv.key}=${kv.value}${before}`;
    });
  }

  get revisions(): number[] {
    return this.events.map(({ kv }) => kv.mod);
  }

  /** Waits for the event of a revision, or for one behind it. */
  async reached(revision: number): Promise<void> {
    await until(`the watch tells revision ${revision}`, () => {
      if (this.canceled !== undefined) throw new Error(`The watch was ended: ${this.canceled}`);
      return Promise.resolve(this.#next > revision);
    });
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted && this.canceled === undefined) {
      await this.#watchOnce();
      await sleep(RECONNECT_MS, this.#stop.signal).catch(() => undefined);
    }
  }

  async #watchOnce(): Promise<void> {
    const { signal } = this.#stop;
    using connection = disposable(new Connection(this.#target));
    const ended = Promise.withResolvers<undefined>();
    const stream = connection.openWatchStream({
      onMessage: (message) => {
        if (message.canceled) this.canceled = `${message.cancelReason} ${message.compactRevision}`;
        if (message.canceled) ended.resolve(undefined);
        this.events.push(...message.events);
        if (message.events.length === 0 && !message.created)
          this.progress.push({ revision: message.revision, after: this.events.length });
        this.#next = Math.max(this.#next, (message.events.at(-1)?.kv.mod ?? 0) + 1);
      },
      onEnd: () => ended.resolve(undefined),
    });
    const onStop = () => ended.resolve(undefined);
    signal.addEventListener("abort", onStop, { once: true });
    const request = { ...EVERYTHING, startRevision: this.#next, prevKv: true, progressNotify: false };
    stream.send(encodeWatchCreate(0, request));
    await ended.promise;
    signal.removeEventListener("abort", onStop);
    stream.cut();
  }
}

function disposable(connection: Connection): Connection & Disposable {
  return Object.assign(connection, { [Symbol.dispose]: () => connection.close() });
}

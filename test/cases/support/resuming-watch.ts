import type { TestContext } from "node:test";
import { status } from "@grpc/grpc-js";
import { until, type Event, type WatchArgs } from "@k3s/testkit";
import { CaseClient } from "./case-client.ts";
import { kindOf, type WatchPeer } from "./watch-peer.ts";

/** After these codes etcd's clients ask again; any other one ends the watch for good. */
const RESUMED = new Set<unknown>([status.UNAVAILABLE, status.INTERNAL]);

/** A watch that goes on where it was after it lost its stream, as etcd's clients do. */
export class ResumingWatch {
  /** Everything it was told, in the order in which it came. */
  readonly events: Event[] = [];
  resumes = 0;
  readonly #t: TestContext;
  readonly #target: string;
  readonly #args: WatchArgs;
  #next: number;
  #stream: WatchPeer | undefined;

  constructor(t: TestContext, target: string, args: WatchArgs) {
    this.#t = t;
    this.#target = target;
    this.#args = args;
    this.#next = args.start ?? 0;
  }

  /** Revision it would ask for now; 0 until the server has told where it is. */
  get next(): number {
    return this.#next;
  }

  /** Opens the stream if there is none. */
  async open(): Promise<WatchPeer> {
    if (this.#stream !== undefined) return this.#stream;
    const stream = await until("the watch is created", () => this.#create());
    this.#stream = stream;
    return stream;
  }

  /** Reads until there are `count` events. Rejects when the server ends the watch for good. */
  async read(count: number): Promise<void> {
    while (this.events.length < count) {
      const stream = await this.open();
      try {
        await this.#take(stream);
      } catch (error) {
        this.#lose(error);
      }
    }
  }

  async #create(): Promise<WatchPeer | undefined> {
    const stream = new CaseClient(this.#t, this.#target).watch();
    try {
      const { header } = await stream.create({ ...this.#args, start: this.#next });
      if (this.#next === 0) this.#next = (header?.revision ?? 0) + 1;
      return stream;
    } catch (error) {
      this.#lose(error);
      return undefined;
    }
  }

  async #take(stream: WatchPeer): Promise<void> {
    const message = await stream.next();
    if (kindOf(message) === "canceled") throw new Error(`Watch was canceled at ${message.compactRevision}`);
    this.events.push(...message.events);
    const last = message.events.at(-1)?.kv?.mod ?? message.header?.revision ?? 0;
    if (!message.fragment) this.#next = Math.max(this.#next, last + 1);
  }

  #lose(error: unknown): void {
    if (!(error instanceof Error && "code" in error && RESUMED.has(error.code))) throw error;
    this.#stream?.stream.cancel();
    this.#stream = undefined;
    this.resumes++;
  }
}

import { sleep } from "@k3s/async";
import type { Span } from "../history/operation.ts";
import type { OpenSession, Recorder } from "../history/recorder.ts";
import type { WatchMessage } from "../history/watch-session.ts";
import { Connection, type WatchStream } from "../wire/connection.ts";
import { encodeWatchCancel, encodeWatchCreate, encodeWatchProgress } from "../wire/requests.ts";
import type { Random } from "./random.ts";
import type { Targets } from "./targets.ts";

/** How often a watcher looks whether the round is over while its server is away. */
const LOOK_MS = 1000;
const RESTLESS_MS = 25;
/** How far a watcher that comes back may fall behind what it saw, as a client with an old list. */
const LOOK_BACK_REVISIONS = 200;

export interface WatcherOptions {
  readonly name: string;
  /** The first to begin with; a new connection may go to any. */
  readonly targets: Targets;
  readonly recorder: Recorder;
  readonly random: Random;
  /** One watch for each, on one stream. */
  readonly spans: readonly Span[];
  /** First revision wanted. */
  readonly startRevision: number;
  /** Whether it gives watches up, loses its stream and comes back, again and again. */
  readonly isRestless: boolean;
  /** Whether it asks for progress. */
  readonly asksProgress: boolean;
}

/** One span that is to be followed without a gap, over any number of watches. */
interface Follow {
  readonly span: Span;
  /** Everything up to here was told. */
  position: number;
  session: OpenSession | undefined;
  watchId: number | undefined;
}

/** Follows spans of keys as an informer does: from where it was, after every interruption. */
export class Watcher implements Disposable {
  readonly #options: WatcherOptions;
  readonly #follows: readonly Follow[];
  readonly #stop = new AbortController();
  #connection: Connection;
  #stream: WatchStream | undefined;
  /** Watches that were asked for and not yet created; servers answer in this order. */
  #asked: Follow[] = [];
  #changed = Promise.withResolvers<undefined>();

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.#connection = new Connection(options.targets[0]);
    this.#follows = options.spans.map((span) => {
      return { span, position: options.startRevision - 1, session: undefined, watchId: undefined };
    });
  }

  /** Watches until the watcher is disposed of. */
  async run(): Promise<void> {
    const { signal } = this.#stop;
    this.#open();
    while (!signal.aborted) {
      await sleep(1 + this.#options.random.below(RESTLESS_MS), signal).catch(() => undefined);
      if (signal.aborted) return;
      if (this.#stream === undefined) await this.#reopen();
      else this.#fidget();
    }
  }

  /** Waits until each span was followed up to its goal; false when that took longer than `limitMs`. */
  async reach(goal: (span: Span) => number, limitMs: number): Promise<boolean> {
    const limit = AbortSignal.timeout(limitMs);
    const isBehind = ({ span, position }: Follow) => position < goal(span);
    while (this.#follows.some(isBehind) && !limit.aborted) {
      const given = Promise.withResolvers<undefined>();
      const onLimit = () => given.resolve(undefined);
      limit.addEventListener("abort", onLimit, { once: true });
      await Promise.race([this.#changed.promise, given.promise]);
      limit.removeEventListener("abort", onLimit);
    }
    for (const { session, span } of this.#follows) {
      if (session !== undefined && session.request.startRevision <= goal(span)) session.goal = goal(span);
    }
    return !this.#follows.some(isBehind);
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
    this.#stream?.cut();
    this.#connection.close();
  }

  #open(): void {
    const stream = this.#connection.openWatchStream({
      onMessage: (message) => this.#receive(message),
      onEnd: () => {
        if (this.#stream === stream) this.#forgetStream();
      },
    });
    this.#stream = stream;
    for (const follow of this.#follows) this.#create(follow);
  }

  async #reopen(): Promise<void> {
    const { random, targets } = this.#options;
    if (random.chance(0.3)) {
      this.#connection.close();
      this.#connection = new Connection(random.pick(targets));
    }
    const isReady = await this.#connection.ready(LOOK_MS).then(
      () => true,
      () => false, // how long a server may be away is for those who send requests to say
    );
    if (isReady && !this.#stop.signal.aborted) this.#open();
  }

  #fidget(): void {
    const { random, isRestless, asksProgress } = this.#options;
    if (asksProgress && random.chance(0.5)) this.#stream?.send(encodeWatchProgress());
    if (!isRestless || !random.chance(0.15)) return;
    if (random.chance(0.4)) {
      this.#stream?.cut();
      this.#forgetStream();
      return;
    }
    const follow = this.#follows[random.below(this.#follows.length)];
    if (follow?.session === undefined || follow.watchId === undefined) return;
    follow.session.cancelRequestedAt = this.#options.recorder.now();
    this.#stream?.send(encodeWatchCancel(follow.watchId));
  }

  #create(follow: Follow): void {
    const { recorder, name, random, isRestless } = this.#options;
    if (isRestless && random.chance(0.3))
      follow.position = Math.max(this.#options.startRevision - 1, follow.position - random.below(LOOK_BACK_REVISIONS));
    const startRevision = isRestless && random.chance(0.15) ? 0 : follow.position + 1;
    const request = { ...follow.span, startRevision, prevKv: true, progressNotify: true };
    follow.session = recorder.openSession(name, request);
    follow.watchId = undefined;
    this.#asked.push(follow);
    this.#stream?.send(encodeWatchCreate(0, request));
  }

  #forgetStream(): void {
    this.#stream = undefined;
    this.#asked = [];
    for (const follow of this.#follows) [follow.session, follow.watchId] = [undefined, undefined];
  }

  #receive(message: WatchMessage): void {
    const created = message.created ? this.#asked.shift() : undefined;
    if (created !== undefined) created.watchId = message.watchId;
    const isForAll = message.watchId === -1 && !message.created;
    for (const follow of this.#follows) {
      const isMeant = isForAll ? follow.watchId !== undefined : follow.watchId === message.watchId;
      if (isMeant) this.#note(follow, message);
    }
    this.#changed.resolve(undefined);
    this.#changed = Promise.withResolvers();
  }

  #note(follow: Follow, message: WatchMessage): void {
    follow.session?.messages.push({ ...message, at: this.#options.recorder.now() });
    if (message.canceled) {
      if (message.compactRevision > 0) follow.position = Math.max(follow.position, message.compactRevision - 1);
      this.#create(follow);
      return;
    }
    const last = message.events.at(-1);
    if (last !== undefined) follow.position = Math.max(follow.position, last.kv.mod);
    else if (!message.created || follow.session?.request.startRevision === 0)
      follow.position = Math.max(follow.position, message.revision);
  }
}

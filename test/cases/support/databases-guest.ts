import { nextTurn, repeat } from "@k3s/async";
import { until } from "@k3s/testkit";
import type { Outcome, Response, TxnOperation } from "../../consistency/history/operation.ts";
import type { Recorder } from "../../consistency/history/recorder.ts";
import { resources } from "../../consistency/traffic/keyspace.ts";
import type { Random } from "../../consistency/traffic/random.ts";
import type { Guest } from "../../consistency/traffic/round.ts";
import type { Database } from "./databases.ts";
import { KinePeer, toEvent, type KineEvent } from "./databases-kine.ts";

const WRITERS = 3;
const POLL_MS = 5;
/** What a row between two others may take to be settled by whoever owns it. */
const SETTLE_LIMIT_MS = 20_000;

/** A kine on the same database: writers on sessions of their own, and the poll loop that feeds kine's watches. */
export class KineGuest implements Guest {
  /** Everything that kine's watches tell, in their order. */
  readonly events: KineEvent[] = [];
  readonly #database: Database;
  readonly #data: string;
  readonly #random: Random;
  readonly #stack = new AsyncDisposableStack();
  #poller: KinePeer | undefined;
  #polled = 0;
  #hole = 0;
  #values = 0;
  /** Newest revision of each key that a writer knows. */
  readonly #known = new Map<string, number>();

  constructor(database: Database, data: string, random: Random) {
    this.#database = database;
    this.#data = data;
    this.#random = random;
  }

  /** Connects and starts as kine does. The caller disposes of it. */
  async start(): Promise<void> {
    this.#poller = await this.#peer();
    await this.#poller.start();
    this.#polled = (await this.#poller.revisions()).current;
  }

  async run(recorder: Recorder, over: AbortSignal): Promise<void> {
    const writers = Array.from({ length: WRITERS }, async (_, index) => {
      const kine = await this.#peer();
      while (!over.aborted) {
        await this.#write(kine, recorder, `kine${index}`);
        await nextTurn(); // SQLite's session is synchronous
      }
    });
    await Promise.all([...writers, repeat(POLL_MS, () => this.#poll(), over)]);
  }

  async settle(revision: number): Promise<void> {
    await until(
      `kine's watches reach revision ${revision}`,
      async () => {
        await this.#poll();
        return this.#polled >= revision;
      },
      SETTLE_LIMIT_MS,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  async #peer(): Promise<KinePeer> {
    return new KinePeer(this.#stack.use(await this.#database.sql(this.#data)));
  }

  /** One round of kine's loop: a hole that is met for the second time is filled. */
  async #poll(): Promise<void> {
    const kine = this.#poller;
    if (kine === undefined) throw new Error("Cannot poll: kine is not started");
    const { rows, hole } = await kine.poll(this.#polled);
    for (const row of rows) {
      const event = toEvent(row);
      this.#polled = event.revision;
      if (!event.name.startsWith("gap-")) this.events.push(event);
    }
    const missing = hole ? this.#polled + 1 : 0;
    if (missing !== 0 && missing === this.#hole) await kine.fillGap(missing);
    this.#hole = missing;
  }

  async #write(kine: KinePeer, recorder: Recorder, client: string): Promise<void> {
    const [first, ...more] = this.#random.pick(resources).keys;
    const key = this.#random.pick([first ?? "", ...more]);
    const mod = this.#known.get(key) ?? 0;
    const value = `${client}.${this.#values++}`;
    const isDelete = mod !== 0 && this.#random.chance(0.3);
    const operation: TxnOperation = isDelete ? { kind: "delete", key, end: "" } : { kind: "put", key, value };
    const invokedAt = recorder.now();
    const outcome = await this.#guarded(() => {
      if (isDelete) return kine.delete(key, mod);
      return mod === 0 ? kine.create(key, value) : kine.update({ name: key, value, revision: mod });
    }, operation.kind);
    if (outcome === undefined) {
      await this.#learn(kine, key);
      return;
    }
    if (outcome.kind === "ok") this.#known.set(key, isDelete ? 0 : outcome.response.revision);
    const compare = [{ key, end: "", result: "equal", target: { field: "mod", value: mod } }] as const;
    const request = { kind: "txn", compare, success: [operation], failure: [] } as const;
    recorder.operations.push({
      id: recorder.operations.length,
      client,
      request,
      invokedAt,
      returnedAt: recorder.now(),
      outcome,
    });
  }

  /** undefined: a conflict, after which nothing is written. */
  async #guarded(write: () => Promise<number | undefined>, kind: "put" | "delete"): Promise<Outcome | undefined> {
    try {
      const revision = await write();
      if (revision === undefined) return undefined;
      const inner: Response =
        kind === "put" ? { kind, revision, prevKv: undefined } : { kind, revision, deleted: 1, prevKvs: [] };
      return { kind: "ok", response: { kind: "txn", revision, succeeded: true, responses: [inner] } };
    } catch (error) {
      return { kind: "unknown", text: String(error) }; // a deadlock, say
    }
  }

  async #learn(kine: KinePeer, key: string): Promise<void> {
    const [found] = await kine.list(key, `${key}\x01`);
    this.#known.set(key, found?.revision ?? 0);
  }
}

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { StoreError, type OpenStore, type WatchEvent } from "@k3s/datastore";
import { WatchRecorder } from "@k3s/testkit";
import { Dice, Model } from "./support/model.ts";
import { create, del, just, put, query, rangeOf, update } from "./support/ops.ts";
import { storeAt, tempDatabase } from "./support/temp-store.ts";

const STEPS = 400;
const KEYS = 40;
/** So small that most values are read from the database. */
const OPTIONS = { valueCacheBytes: 3000 };

/** Does the same to the store and to the model, and compares what both say. */
class Run {
  readonly #dice: Dice;
  readonly #model: Model;
  #store: OpenStore;

  constructor(store: OpenStore, seed: number) {
    this.#store = store;
    this.#dice = new Dice(seed);
    this.#model = new Model(store.currentRevision);
  }

  set store(store: OpenStore) {
    this.#store = store;
  }

  async step(): Promise<void> {
    const actions = [
      () => this.#put(),
      () => this.#put(),
      () => this.#create(),
      () => this.#update(),
      () => this.#delete(),
      () => this.#several(),
      () => this.#range(),
      () => this.#range(),
      () => this.#compact(),
    ];
    await actions[this.#dice.roll(actions.length)]?.();
    assert.equal(this.#store.currentRevision, this.#model.revision);
  }

  /** A watch from every revision that is left hears the same history. */
  async compareHistory(): Promise<void> {
    const { compacted, revision } = this.#model;
    for (let start = Math.max(compacted, 3); start <= revision; start += 1 + this.#dice.roll(9)) {
      const [from, to] = this.#interval();
      const expected = this.#model.history(from, to, start);
      const seen = new WatchRecorder(this.#store, rangeOf(from, to), start);
      await seen.count(expected.length);
      assert.deepEqual(
        seen.events.map(line),
        expected.map((text) => text),
        `watch from ${start}`,
      );
      seen.watch.close();
    }
  }

  /** Every readable revision shows the same keys and counts. */
  async compareAll(): Promise<void> {
    for (let at = Math.max(this.#model.compacted, 3); at <= this.#model.revision; at += 7)
      await this.#compareRange(at, 0);
  }

  async #put(): Promise<void> {
    const [key, value] = [this.#key(), this.#value()];
    await this.#store.txn(just(put(key, value)));
    this.#model.write([{ key, value }]);
  }

  async #create(): Promise<void> {
    const [key, value] = [this.#key(), this.#value()];
    const { succeeded } = await this.#store.txn(create(key, value));
    assert.equal(succeeded, this.#live(key) === undefined);
    if (succeeded) this.#model.write([{ key, value }]);
  }

  async #update(): Promise<void> {
    const [key, value] = [this.#key(), this.#value()];
    const live = this.#live(key);
    const mod = this.#dice.roll(3) === 0 ? this.#dice.roll(this.#model.revision) : (live?.mod ?? 0);
    const { succeeded, results } = await this.#store.txn(update(key, mod, value));
    assert.equal(succeeded, mod === (live?.mod ?? 0));
    const [first] = results;
    if (succeeded) this.#model.write([{ key, value }]);
    else assert.equal(first?.kind === "range" && first.range.kvs[0]?.value.toString(), live?.value);
  }

  async #delete(): Promise<void> {
    const [from, to] = this.#dice.roll(3) === 0 ? this.#interval() : [this.#key(), undefined];
    const gone = this.#model.list(from, to ?? `${from}\0`, Number.POSITIVE_INFINITY);
    const { results } = await this.#store.txn(just(del(from, to, true)));
    const [first] = results;
    const values = first?.kind === "delete" ? first.prevKvs.map(({ value }) => value.toString()) : [];
    assert.deepEqual(
      values,
      gone.map(({ value }) => value),
    );
    this.#model.write(gone.map(({ key }) => ({ key, value: undefined })));
  }

  async #several(): Promise<void> {
    const keys = [...new Set([this.#key(), this.#key(), this.#key()])];
    const writes = keys.map((key) => ({ key, value: this.#value() }));
    await this.#store.txn(just(...writes.map(({ key, value }) => put(key, value))));
    this.#model.write(writes);
  }

  async #range(): Promise<void> {
    const oldest = Math.max(this.#model.compacted, 1);
    const at = oldest + this.#dice.roll(this.#model.revision - oldest + 1);
    await this.#compareRange(this.#dice.roll(2) === 0 ? 0 : at, this.#dice.roll(5));
  }

  async #compareRange(at: number, limit: number): Promise<void> {
    const [from, to] = this.#interval();
    const expected = this.#model.list(from, to, at === 0 ? Number.POSITIVE_INFINITY : at);
    const found = await this.#store.range(query(rangeOf(from, to), { revision: at, limit }));
    const shown = limit === 0 ? expected : expected.slice(0, limit);
    assert.deepEqual(
      found.kvs.map((kv) => [kv.key.toString(), kv.value.toString(), kv.createRevision, kv.modRevision]),
      shown.map(({ key, value, create: made, mod }) => [key, value, made, mod]),
      `range at ${at}`,
    );
    assert.deepEqual([found.count, found.more], [expected.length, shown.length < expected.length]);
    assert.equal(found.revision, this.#model.revision);
  }

  async #compact(): Promise<void> {
    if (this.#dice.roll(3) > 0) return;
    const { compacted, revision } = this.#model;
    const at = compacted + this.#dice.roll(revision - compacted + 1);
    if (at === compacted) await assert.rejects(this.#store.compact(at), StoreError);
    else {
      await this.#store.compact(at);
      this.#model.compacted = at;
    }
  }

  #live(key: string) {
    const change = this.#model.at(key, Number.POSITIVE_INFINITY);
    return change?.deleted === false ? change : undefined;
  }

  #key(): string {
    return `/registry/t/${this.#dice.roll(KEYS)}`;
  }

  #value(): string {
    return `${this.#model.revision}-`.repeat(1 + this.#dice.roll(40));
  }

  #interval(): [from: string, to: string] {
    if (this.#dice.roll(2) === 0) return ["/registry/t/", "/registry/t0"];
    const [a, b] = [this.#key(), this.#key()].sort();
    return [a ?? "", `${b ?? ""}\0`];
  }
}

function line({ type, kv, prevKv }: WatchEvent): string {
  const was = prevKv === undefined ? "" : ` was ${prevKv.value.toString()}`;
  return `${kv.modRevision} ${type} ${kv.key.toString()}=${kv.value.toString()}${was}`;
}

describe("store and model", () => {
  for (const seed of [1, 2, 3, 4]) {
    test(`agree over ${STEPS} random steps and a restart, seed ${seed}`, async (t) => {
      const path = await tempDatabase(t);
      const first = await storeAt(t, path, OPTIONS);
      const run = new Run(first, seed);
      for (let step = 0; step < STEPS / 2; step++) await run.step();
      await run.compareHistory();
      await first.close();
      run.store = await storeAt(t, path, OPTIONS);
      await run.compareAll();
      await run.compareHistory();
      for (let step = 0; step < STEPS / 2; step++) await run.step();
      await run.compareHistory();
      await run.compareAll();
    });
  }
});

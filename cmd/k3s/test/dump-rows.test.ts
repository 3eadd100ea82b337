import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { RowHead } from "@k3s/datastore";
import { DatastoreToolError } from "../src/errors.ts";
import { dumpRows, type DumpedKey } from "../src/datastore/dump-rows.ts";

interface FakeRow {
  readonly id: number;
  readonly name: string;
  readonly value: string;
  readonly deleted?: boolean;
}

/** Rows that change while they are read: what was done to them is seen by the next question. */
class FakeRows {
  rows: FakeRow[];
  spans: { first: number; last: number }[] = [];
  /** Called before values are read, with how often that was. */
  beforeValues: (times: number) => void = () => undefined;
  readonly asked: number[] = [];

  constructor(...rows: FakeRow[]) {
    this.rows = rows;
  }

  heads(after: number, limit: number): Promise<readonly RowHead[]> {
    const rows = this.rows.filter(({ id }) => id > after).slice(0, limit);
    return Promise.resolve(
      rows.map(({ id, name, deleted = false }) => ({
        ...{ id, name, deleted, created: !deleted, createRevision: 0, prevRevision: 0, ttlSeconds: 0 },
      })),
    );
  }

  side() {
    const rowLeases = new Map(this.rows.map(({ id }) => [id, BigInt(id)] as const));
    return Promise.resolve({ leases: [], rowLeases, spans: this.spans });
  }

  values(ids: readonly number[]): Promise<readonly (Buffer | undefined)[]> {
    this.asked.push(ids.length);
    this.beforeValues(this.asked.length);
    const values = new Map(this.rows.map(({ id, value }) => [id, Buffer.from(value)]));
    return Promise.resolve(ids.map((id) => values.get(id)));
  }
}

async function dump(source: FakeRows): Promise<readonly DumpedKey[]> {
  const keys: DumpedKey[] = [];
  const page = (more: readonly DumpedKey[]) => Promise.resolve(void keys.push(...more));
  await dumpRows(source, { prefix: "", page, signal: new AbortController().signal });
  return keys;
}

const told = (keys: readonly DumpedKey[]) =>
  keys.map(({ key, value, modRevision, lease }) => `${key.toString()}=${value.toString()} ${modRevision} ${lease}`);

describe("dumpRows()", () => {
  test("gives the newer value of a key that is replaced while it reads, and leaves out one that is deleted", async () => {
    const source = new FakeRows(
      { id: 1, name: "/a", value: "1" },
      { id: 2, name: "/b", value: "2" },
      { id: 3, name: "/c", value: "3" },
      { id: 4, name: "/d", value: "4" },
    );
    source.beforeValues = (times) => {
      if (times !== 1) return;
      source.rows = [
        { id: 4, name: "/d", value: "4" },
        { id: 5, name: "/a", value: "5" },
        { id: 6, name: "/b", value: "", deleted: true },
      ];
    };
    assert.deepEqual(told(await dump(source)), ["/a=5 5 5", "/d=4 4 4"]);
  });

  test("goes on when the newer row has gone as well, and in the end says that it cannot have the value", async () => {
    const replaced = (until: number) => {
      const source = new FakeRows({ id: 1, name: "/a", value: "1" });
      source.beforeValues = (times) => {
        if (times <= until) source.rows = [{ id: times + 1, name: "/a", value: String(times + 1) }];
      };
      return source;
    };
    assert.deepEqual(told(await dump(replaced(3))), ["/a=4 4 4"]);
    await assert.rejects(dump(replaced(Infinity)), DatastoreToolError);
  });

  test("rejects when a row is there without its value", async () => {
    const source = new FakeRows({ id: 1, name: "/a", value: "1" });
    source.values = (ids) => Promise.resolve(ids.map(() => undefined));
    await assert.rejects(
      dump(source),
      (error) => error instanceof DatastoreToolError && error.code === "ERR_DATASTORE_VALUE_GONE",
    );
  });

  test("reads few large values at once", async () => {
    const rows = Array.from({ length: 300 }, (_, i) => ({ id: i + 1, name: `/${1000 + i}`, value: "small" }));
    const large = "x".repeat(1_500_000);
    const source = new FakeRows(...rows, ...[1, 2, 3, 4].map((i) => ({ id: 300 + i, name: `/9${i}`, value: large })));
    assert.equal((await dump(source)).length, 304);
    assert.ok(Math.max(...source.asked) <= 64, String(source.asked));
    const onlyLarge = new FakeRows(
      ...Array.from({ length: 30 }, (_, i) => ({ id: i + 1, name: `/${i}`, value: large })),
    );
    assert.equal((await dump(onlyLarge)).length, 30);
    assert.deepEqual(onlyLarge.asked, [20, 2, 2, 2, 2, 2]);
  });

  test("tells revisions where a damaged transaction spans more rows than there can be", async () => {
    const source = new FakeRows({ id: 1, name: "/a", value: "1" }, { id: 2, name: "/b", value: "2" });
    source.spans = [{ first: 2, last: 4e15 }];
    assert.deepEqual(told(await dump(source)), ["/a=1 1 1", "/b=2 4000000000000000 2"]);
  });
});

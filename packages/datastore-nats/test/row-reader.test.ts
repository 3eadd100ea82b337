import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { Changes } from "@k3s/datastore";
import type { NatsServer } from "@k3s/testkit";
import { connect } from "@nats-io/transport-node";
import { Bucket } from "../src/bucket.ts";
import { NatsLink } from "../src/nats-link.ts";
import type { SettledRow } from "../src/row-assembler.ts";
import { RowMessages } from "../src/row-message.ts";
import { RowReader } from "../src/row-reader.ts";
import { RowTail } from "../src/row-tail.ts";
import { SpanRepair } from "../src/span-repair.ts";
import { Subjects } from "../src/subjects.ts";
import { openDriver, quietLog, startNats } from "./support/nats-fixture.ts";
import { nothing, row } from "./support/rows.ts";

interface Parts {
  readonly messages: Bucket;
  readonly tail?: RowTail;
  readonly onRow?: (row: SettledRow) => void;
}

/** A bucket whose newest message was `first` when it was asked for it first. */
class GrowingBucket extends Bucket {
  #first: number | undefined;

  constructor(link: NatsLink, first: number) {
    super(link, { bucket: "kine", isReplicated: false });
    this.#first = first;
  }

  override async lastSequence(): Promise<number> {
    const last = this.#first ?? (await super.lastSequence());
    this.#first = undefined;
    return last;
  }
}

async function openLink(t: TestContext, server: NatsServer): Promise<NatsLink> {
  const connection = await connect({ servers: server.endpoint });
  const link = await NatsLink.over({ connection, log: quietLog(), slowMs: 0, shown: "nats" });
  t.after(() => link.close());
  return link;
}

function newReader({ messages, tail, onRow = () => undefined }: Parts): RowReader {
  const subjects = new Subjects("kine");
  const codec = new RowMessages(subjects, "reader");
  const log = quietLog();
  const repair = new SpanRepair({ messages, subjects, codec, history: 0, log });
  return new RowReader({ messages, codec, repair, tail: () => tail, log, onRow });
}

/** A server with a transaction of rows 1 to 4, without the message `gone`. */
async function writeSpan(t: TestContext, gone: number): Promise<NatsLink> {
  const server = await startNats(t);
  const driver = await openDriver(t, server);
  const rows = [row(1, "/a"), row(2, "/b"), row(3, "/c"), row(4, "/d")];
  await driver.commit({ ...nothing, rows, spans: [{ first: 1, last: 4 }] });
  const link = await openLink(t, server);
  const subject = new Subjects("kine").ofName(rows[gone - 1]?.name ?? "") ?? "";
  await new Bucket(link, { bucket: "kine", isReplicated: false }).purge(subject, gone + 1);
  return link;
}

const textOf = ({ id, name }: { readonly id: number; readonly name: string }) => `${id} ${name}`;

test("changes() fetches what was left out among the messages that arrived", async (t) => {
  const server = await startNats(t);
  const driver = await openDriver(t, server);
  await driver.commit({ ...nothing, rows: [row(1, "/a"), row(2, "/b"), row(3, "/c"), row(4, "/d")] });
  const messages = new Bucket(await openLink(t, server), { bucket: "kine", isReplicated: false });
  const tail = new RowTail(0);
  for (const message of await messages.get([1, 4])) if (message !== undefined) tail.add(message);
  const { rows, completeFrom } = await newReader({ messages, tail }).changes(0, 10);
  assert.deepEqual([rows.map(({ name }) => name), completeFrom], [["/a", "/b", "/c", "/d"], 0]);
});

const holes = [
  { where: "in its middle", gone: 2, left: ["1 /a", "3 /c", "4 /d"] },
  { where: "at its end", gone: 4, left: ["1 /a", "2 /b", "3 /c", "4 gap-4"] },
];
for (const { where, gone, left } of holes) {
  test(`changes() gives a transaction that lost a row ${where} at the end of a page`, async (t) => {
    const link = await writeSpan(t, gone);
    const told: string[] = [];
    const messages = new Bucket(link, { bucket: "kine", isReplicated: false });
    const reader = newReader({ messages, onRow: ({ head }) => told.push(textOf(head)) });
    const { rows, spans } = await reader.changes(0, gone);
    assert.deepEqual(rows.map(textOf), left);
    assert.deepEqual(told, left);
    assert.deepEqual(spans, [{ first: 1, last: 4 }]);
    assert.equal(await messages.lastSequence(), 4);
  });

  test(`heads() gives a transaction that lost a row ${where} while it was written and read`, async (t) => {
    const link = await writeSpan(t, gone);
    const messages = new GrowingBucket(link, gone);
    const heads: string[] = [];
    for await (const { head } of newReader({ messages }).heads(0)) heads.push(textOf(head));
    assert.deepEqual(heads, left);
    assert.equal(await messages.lastSequence(), 4);
  });
}

test("changes() leaves out values beyond some MiB of rows that no watch is told of, but not the compaction key's", async (t) => {
  const server = await startNats(t);
  const driver = await openDriver(t, server);
  const value = Buffer.alloc(300_000, "x");
  const large = Array.from({ length: 40 }, (_, i) => row(i + 1, `/${i + 1}`, { value }));
  const version = row(41, "compact_rev_key_apiserver", { value: Buffer.from("3|5") });
  const newest = row(42, "/newest", { value });
  await driver.commit({ ...nothing, rows: [...large, version, newest] });
  const messages = new Bucket(await openLink(t, server), { bucket: "kine", isReplicated: false });
  const whole = await newReader({ messages }).changes(0, 100);
  assert.equal(bytesOf(whole), 41 * value.length + 3);
  await messages.purge(new Subjects("kine").ofName("/1") ?? "", 2);
  const changes = await newReader({ messages }).changes(0, 100);
  assert.deepEqual(changes.rows.map(textOf), [...large.slice(1), version, newest].map(textOf));
  assert.ok(bytesOf(changes) < 9 << 20);
  const [first, last] = [changes.rows[0], changes.rows.at(-1)];
  assert.deepEqual([first?.value?.length, last?.value?.length], [value.length, value.length]);
  assert.equal(changes.rows.at(-2)?.value?.toString(), "3|5");
});

function bytesOf({ rows }: Changes): number {
  return rows.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
}

import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { openStore, type Driver, type RangeResult, type Store, type Txn, type TxnResult } from "@k3s/datastore";
import { collectLog } from "./collect-log.ts";
import { FaultProxy } from "./fault-proxy.ts";
import type { SqlTestDatabase } from "./sql-test-database.ts";
import { isUnavailable, query, rangeOf, remove, write } from "./store-ops.ts";
import { until } from "./until.ts";
import { WatchRecorder } from "./watch-recorder.ts";

/** A store whose way to its database can be cut, and another way to the same database. */
interface CuttableStore {
  readonly store: Store;
  readonly proxy: FaultProxy;
  /** Sees the database without the proxy. */
  readonly beside: Driver;
  /** What the store sends for a write of `key`, and for nothing else: it never gets there where the connection is cut before it. */
  readonly mark: (key: string) => string;
}

const RANGE = rangeOf("/cut/", "/cut0");
const KEY = "/cut/a";
/** After this a session of the drivers gives up waiting for a lock, whoever ends it or not. */
const LOCK_WAIT_MS = 3000;
/** A busy machine may take that long for all that comes before; the last try counts whatever it took. */
const TRIES = 5;

interface Change {
  readonly name: string;
  /** The transaction of a client that has seen `KEY` at this revision. */
  readonly txn: (revision: number) => Txn;
  /** What a watch is told of it, behind its revision. */
  readonly told: (revision: number) => string;
}

const CHANGES: readonly Change[] = [
  {
    name: "a put",
    txn: (revision) => write(KEY, revision, "new"),
    told: (revision) => `put ${KEY}=new was old@${revision}`,
  },
  {
    name: "a deletion",
    txn: (revision) => remove(KEY, revision),
    told: (revision) => `delete ${KEY}= was old@${revision}`,
  },
];

/** What a client is told, and what is there, when the connection to the database is lost in the middle of a commit, as tests. */
export function lostCommitConformance(label: string, open: (t: TestContext) => Promise<CuttableStore>): void {
  describe(`a connection to ${label} that is lost in the middle of a commit`, () => {
    for (const { name, txn, told } of CHANGES) {
      test(`before the database has it: ${name} is unavailable, not there, told to nobody, and works later`, async (t) => {
        const cut = await begin(t, open);
        const { proxy, created } = cut;
        const arrived = proxy.stallAt("toTarget", cut.mark(KEY));
        const answer = answerTo(cut.store, txn(created));
        await arrived;
        await lose(cut, answer);
        assert.equal((await rowsOf(cut, KEY)).length, 1);
        const again = await served(cut.store, txn(created));
        assert.equal(again.succeeded, true, "a false conflict");
        const [, row = 0] = await rowsOf(cut, KEY);
        assert.equal(again.revision, row);
        await assertWhole(cut, `${row} ${told(created)}`);
      });

      test(`with its answer on the way: ${name} is unavailable, there, told once, and a conflict later`, async (t) => {
        const cut = await begin(t, open);
        const { proxy, created } = cut;
        proxy.stall("toClient");
        const answer = answerTo(cut.store, txn(created));
        await until("the database has it", async () => (await rowsOf(cut, KEY)).length === 2);
        await lose(cut, answer);
        const again = await served(cut.store, txn(created));
        assert.equal(again.succeeded, false, "written twice");
        const [, row = 0, ...more] = await rowsOf(cut, KEY);
        assert.deepEqual(more, []);
        await assertWhole(cut, `${row} ${told(created)}`);
      });
    }
  });
}

interface LockedStore extends CuttableStore {
  /** Takes the one lock that commits take; resolves with how to give it back. */
  readonly hold: () => Promise<() => Promise<unknown>>;
  /** Whether a commit waits inside of the database for that lock. */
  readonly isWaiting: () => Promise<boolean>;
}

/** That a commit which the database goes on with after its connection was lost takes effect before the next read or never, as a test. */
export function lateCommitConformance(label: string, open: (t: TestContext) => Promise<LockedStore>): void {
  test(`a commit that ${label} still carries out when its connection is lost takes effect before the next read or never`, async (t) => {
    let tried = await loseLate(t, open);
    for (let left = TRIES - 1; tried.mayHaveEnded && left > 0; left--) tried = await loseLate(t, open);
    const { cut, change, read } = tried;
    const { store, created } = cut;
    const { succeeded, revision } = await served(store, write(KEY, created, "new"));
    assert.equal(succeeded, read.kvs[0]?.value.toString() === "old", "it took effect after a read had not seen it");
    const [, row = 0, ...more] = await rowsOf(cut, KEY);
    assert.deepEqual(more, []);
    if (succeeded) assert.equal(revision, row);
    await assertWhole(cut, `${row} ${change.told(created)}`);
  });
}

interface LateCommit {
  readonly cut: CutStore;
  readonly change: Change;
  /** What was read after the loss and before the lock was free. */
  readonly read: RangeResult;
  /** Whether it may have given up by itself before that: then the read tells nothing of who else ended it. */
  readonly mayHaveEnded: boolean;
}

/** Loses the connection of a commit that waits for the lock, reads, and lets it go on with the lock if it still can. */
async function loseLate(t: TestContext, open: (t: TestContext) => Promise<LockedStore>): Promise<LateCommit> {
  const opened = await open(t);
  const cut = await begin(t, () => Promise.resolve(opened));
  const { store, created } = cut;
  const [change = assert.fail()] = CHANGES;
  const release = await opened.hold();
  const startedAt = performance.now();
  const answer = answerTo(store, change.txn(created));
  await until("it waits for the lock", opened.isWaiting);
  await lose(cut, answer);
  const read = await until("reads are served again", () => store.range(query(rangeOf(KEY))));
  const mayHaveEnded = performance.now() - startedAt >= LOCK_WAIT_MS;
  await release();
  await until("nothing waits any more", async () => !(await opened.isWaiting()));
  return { cut, change, read, mayHaveEnded };
}

interface CutStore extends CuttableStore {
  readonly seen: WatchRecorder;
  /** Revision of the key. */
  readonly created: number;
}

async function begin(t: TestContext, open: (t: TestContext) => Promise<CuttableStore>): Promise<CutStore> {
  const opened = await open(t);
  const seen = new WatchRecorder(opened.store, RANGE);
  const { revision: created } = await opened.store.txn(write(KEY, 0, "old"));
  await seen.count(1);
  return { ...opened, seen, created };
}

function answerTo(store: Store, txn: Txn): Promise<unknown> {
  return store.txn(txn).catch((error: unknown) => error);
}

/** Loses all connections with what was on the way, and gives the database back after a while. */
async function lose({ store, proxy, seen }: CutStore, answer: Promise<unknown>): Promise<void> {
  await proxy.refuse();
  proxy.resume();
  const told = await answer;
  assert.ok(isUnavailable(told), String(told));
  await assert.rejects(store.txn(write("/cut/meanwhile", 0, "1")), isUnavailable);
  const { kvs } = await store.range({ ...query(rangeOf(KEY)), serializable: true });
  assert.equal(kvs[0]?.value.toString(), "old");
  assert.equal(seen.events.length, 1);
  await proxy.accept();
}

/** The answer of the first try that is answered at all. */
async function served(store: Store, txn: Txn): Promise<TxnResult> {
  return until("writes are served again", () =>
    store.txn(txn).catch((error: unknown) => {
      if (!isUnavailable(error)) assert.fail(String(error));
      return undefined;
    }),
  );
}

async function rowsOf({ beside }: CuttableStore, key: string): Promise<number[]> {
  const heads = await beside.heads(0, 1000);
  return heads.filter(({ name }) => name === key).map(({ id }) => id);
}

/** The watch was told of the change once, and of the next write; the store has what the database has. */
async function assertWhole(cut: CutStore, change: string): Promise<void> {
  const { store, seen, beside, created } = cut;
  const { revision } = await store.txn(write("/cut/next", 0, "1"));
  await seen.count(3);
  assert.deepEqual(seen.lines, [`${created} put ${KEY}=old`, change, `${revision} put /cut/next=1`]);
  const rows = (await beside.heads(0, 1000)).filter(({ name }) => name.startsWith("/cut/"));
  const told = seen.events.map(({ kv }) => [Number(kv.modRevision), kv.key.toString()]);
  assert.deepEqual(
    told,
    rows.map(({ id, name }) => [id, name]),
  );
  const { kvs } = await store.range(query(RANGE));
  const isThere = kvs.some(({ key }) => key.toString() === KEY);
  assert.equal(isThere, seen.events[1]?.type === "put");
}

/** A store behind a proxy, on a new database that is seen without it as well. `dsn` is that of this database at this port. */
export async function openBehindProxy(
  t: TestContext,
  database: SqlTestDatabase,
  dsn: (port: number, name: string) => string,
) {
  const name = database.newName();
  const { log } = collectLog();
  const proxy = await FaultProxy.start({ target: { port: database.server.port } });
  t.after(() => proxy.stop());
  const driver = await database.open(t, { dsn: dsn(proxy.port, name), log });
  const store = await openStore(driver, { log, healthKey: true });
  t.after(() => store.close());
  return { name, store, proxy, beside: await database.open(t, { dsn: database.dsn(name) }) };
}

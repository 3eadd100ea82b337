import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Latest } from "@k3s/async";
import { createLogger } from "@k3s/log";
import { Committer, type LoneChange } from "../src/committer.ts";
import {
  DriverError,
  emptyBatch,
  tableTraits,
  type ClaimScope,
  type CommitBatch,
  type Driver,
  type NewRow,
} from "../src/driver.ts";
import { sideDraft, type Plan } from "../src/draft.ts";
import { LostHistoryError } from "../src/history-check.ts";
import { MvccIndex } from "../src/mvcc-index.ts";
import { StoreError } from "../src/store-errors.ts";
import { ValueCache } from "../src/value-cache.ts";

const unused = () => Promise.reject(new Error("not asked here"));
const conflict = () => new DriverError("conflict", "Cannot commit: the test says so");
const refusal = () => new DriverError("refused", "Cannot commit: the test cannot hold it");
const isRefused = (error: unknown) =>
  error instanceof StoreError && error.reason === "refused" && error.message.includes("the test cannot hold it");
const isUnavailable = (error: unknown) => error instanceof StoreError && error.reason === "unavailable";

interface RigOptions {
  readonly conflicts?: number;
  readonly isShared?: boolean;
  readonly foreignRows?: number;
  /** What the first commits end with, one by one; "unexplained": a conflict without a row of anybody else. */
  readonly script?: readonly ("conflict" | "unexplained" | "refused" | "full" | "made")[];
  readonly canHold?: (row: NewRow) => boolean;
  /** With what reading back after a failed commit fails, again and again; default: it does not. */
  readonly failures?: readonly unknown[];
  /** Claims that the database does not give before it gives one. */
  readonly refusedClaims?: number;
}

/**
 * A committer over a database with another server, which writes before each of the first `conflicts` commits, and `foreignRows` times right
 * before it is asked for its position.
 */
function createRig({
  conflicts = 0,
  isShared = true,
  foreignRows = 0,
  script = [],
  canHold = () => true,
  failures = [],
  refusedClaims = 0,
}: RigOptions = {}) {
  const index = new MvccIndex();
  const claims = { taken: [] as ClaimScope[], kept: new Latest(0), released: new Latest(0) };
  const claim = (scope: ClaimScope) => {
    claims.taken.push(scope);
    if (claims.taken.length <= refusedClaims) return Promise.reject(new DriverError("failed", "Cannot claim"));
    const count = (counted: Latest<number>) => {
      counted.set(counted.get() + 1);
      return Promise.resolve();
    };
    return Promise.resolve({ keep: () => count(claims.kept), release: () => count(claims.released) });
  };
  const base = { position: unused, changes: unused, leases: unused, clockMs: unused, onChange: () => undefined, claim };
  let [lastRow, commits, left] = [0, 0, conflicts];
  let foreign = 0;
  let isAlone = false;
  const position = () => {
    if (foreign < foreignRows) [foreign, lastRow] = [foreign + 1, lastRow + 1];
    return Promise.resolve({ lastRow, compactRevision: 0 });
  };
  const driver: Driver = {
    ...{ traits: tableTraits, heads: unused, side: unused, values: unused, prune: unused, size: unused },
    ...{ defragment: unused, close: unused, ...(isShared && { shared: { ...base, position } }) },
    commit: (batch) => {
      const step = script[commits++];
      if (left-- > 0) return Promise.reject(conflict());
      isAlone = step !== undefined && step !== "conflict";
      if (step === "conflict" || step === "unexplained") return Promise.reject(conflict());
      if (step === "full") return Promise.reject(new DriverError("noSpace", "Cannot commit: the test is full"));
      isAlone ||= !batch.rows.every(canHold);
      if (step === "refused" || !batch.rows.every(canHold)) return Promise.reject(refusal());
      lastRow = batch.rows.at(-1)?.id ?? lastRow;
      return Promise.resolve();
    },
  };
  const published: number[] = [];
  const [lines, told]: [string[], string[]] = [[], []];
  const committer = new Committer({
    ...{ driver, index, values: new ValueCache(driver, 1 << 20, () => undefined) },
    log: createLogger({
      level: "info",
      format: "text",
      write: (line) => {
        told.push(line);
        if (line.includes(" ERROR ")) lines.push(line);
      },
    }),
    publish: () => undefined,
    publishFromLog: (_, revision) => published.push(revision),
    reload: (onFailure) => {
      for (const failure of failures) onFailure(failure);
      if (failures.length > 0) return new Promise(() => undefined);
      if (isAlone) return Promise.resolve();
      index.skipRow(++lastRow, false); // what the other one wrote
      index.commit(lastRow);
      return Promise.resolve();
    },
  });
  committer.start();
  return {
    index,
    committer,
    claims,
    published,
    lines,
    told,
    commits: () => commits,
    foreign: () => foreign,
    fail: (times: number) => void (left = times),
  };
}

/** A change of one key. `slowly` is waited for by each preparation, which are counted from 1. */
function changeOf(index: MvccIndex, slowly: (time: number) => Promise<void> = () => Promise.resolve()) {
  let [times, at] = [0, 0];
  const change: LoneChange<number> = {
    interval: { from: "k", to: "l" },
    prepare: async (after): Promise<CommitBatch> => {
      at = after + 1;
      await slowly(++times);
      return { ...emptyBatch, after, rows: [rowAt(at)] };
    },
    show: () => {
      const state = { create: at, version: 1, lease: 0n, deleted: false, previous: undefined, value: undefined };
      index.append({ key: "k", row: at, mod: at, ...state });
      return Promise.resolve(at);
    },
  };
  return { change, times: () => times };
}

/** Puts a key, and answers with its row. */
function putting(index: MvccIndex, key: string): Plan<number> {
  return () => {
    const row = index.lastRow + 1;
    const state = { version: 1, lease: 0n, deleted: false, previous: undefined, value: Buffer.from("value") };
    index.append({ key, row, mod: row, create: row, ...state });
    return sideDraft(row, { rows: [rowAt(row, key)] });
  };
}

function rowAt(id: number, name = "k"): NewRow {
  const head = { createRevision: 0, prevRevision: 0, ttlSeconds: 0, lease: 0n };
  return { id, name, created: true, deleted: false, ...head, value: Buffer.from("value") };
}

describe("Committer.settle() and run() beside a program that writes all the time", () => {
  test("a look at the database ends with what it showed", async () => {
    const { index, committer, foreign } = createRig({ foreignRows: 1000 });
    await committer.settle();
    assert.deepEqual([index.committed, foreign()], [2, 1]);
    await Promise.all([committer.settle(), committer.settle()]);
    assert.deepEqual([index.committed, foreign()], [4, 2]);
  });

  test("a plan that changes nothing is answered from what was read after the call", async () => {
    const { index, committer, claims, foreign } = createRig({ foreignRows: 1000 });
    const seen: number[] = [];
    const plan = () => {
      seen.push(index.committed);
      return sideDraft("answer", {});
    };
    assert.equal(await committer.run(plan), "answer");
    assert.deepEqual([seen, foreign(), claims.taken], [[0, 2], 1, []]);
  });

  test("a change claims its turn of the servers first, then of everybody; the next one begins anew", async () => {
    const { committer, claims, fail } = createRig({ conflicts: 3 });
    const plan = () => sideDraft("answer", { leases: [{ id: 1n, ttlSeconds: 60, expiresAtMs: 5 }] });
    assert.equal(await committer.run(plan), "answer");
    assert.deepEqual(claims.taken, ["servers", "everybody", "everybody"]);
    fail(1);
    await committer.run(plan);
    assert.deepEqual(claims.taken.slice(3), ["servers"]);
  });

  test("a claim that was given back without a commit does not count", async () => {
    const { committer, claims, fail } = createRig({ conflicts: 1 });
    let times = 0;
    const lost = () => sideDraft("lost", times++ === 0 ? { leases: [{ id: 1n, ttlSeconds: 60, expiresAtMs: 5 }] } : {});
    assert.equal(await committer.run(lost), "lost");
    await claims.released.until((released) => released === 1, AbortSignal.timeout(20_000));
    fail(1);
    await committer.run(() => sideDraft("won", { leases: [{ id: 2n, ttlSeconds: 60, expiresAtMs: 5 }] }));
    assert.deepEqual(claims.taken, ["servers", "servers"]);
  });

  test("a large change never keeps everybody back", async () => {
    const { index, committer, claims } = createRig({ conflicts: 2 });
    const { change } = changeOf(index);
    await committer.runAlone(change);
    assert.deepEqual(claims.taken, ["servers", "servers"]);
  });
});

describe("Committer.run() with a plan that writes and shows the past", () => {
  const showingPast = (index: MvccIndex): Plan<number> => {
    const plan = putting(index, "k");
    return (pinned) => ({ ...plan(pinned), showsPast: true });
  };

  test("looks under a claim, and what that finds is not a stranger's", async () => {
    const { index, committer, claims } = createRig({ foreignRows: 1 });
    assert.equal(await committer.run(showingPast(index)), 3);
    assert.deepEqual(claims.taken, ["servers", "servers", "servers"]);
  });

  test("asks for a claim also where one stands, which may have run out", async () => {
    const { index, committer, claims } = createRig({ conflicts: 1 });
    assert.equal(await committer.run(showingPast(index)), 2);
    assert.deepEqual(claims.taken, ["servers", "everybody", "servers"]);
  });

  test("is not committed without a claim", async () => {
    const { index, committer, claims, commits } = createRig({ refusedClaims: 1 });
    assert.equal(await committer.run(showingPast(index)), 2);
    assert.deepEqual([claims.taken.length, commits()], [3, 1]);
  });
});

describe("Committer.runAlone()", () => {
  test("keeps the claim for as long as the change is prepared anew, and gives it back", async () => {
    const { index, committer, claims, published } = createRig({ conflicts: 1 });
    const { change, times } = changeOf(index, async (time) => {
      if (time === 2) await claims.kept.until((kept) => kept >= 2, AbortSignal.timeout(20_000));
    });
    assert.equal(await committer.runAlone(change), 2);
    assert.deepEqual([times(), claims.taken, published], [2, ["servers"], [2]]);
    await claims.released.until((released) => released === 1, AbortSignal.timeout(20_000));
  });

  test("is planned anew before anything that waits for it, which would use up the claim", async () => {
    const { index, committer, commits } = createRig({ conflicts: 1 });
    const { change, times } = changeOf(index);
    const done: string[] = [];
    const alone = committer.runAlone(change).then(() => done.push("alone"));
    const others = Array.from({ length: 3 }, () =>
      committer.run(() => sideDraft(undefined, { rows: [] })).then(() => done.push("other")),
    );
    await Promise.all([alone, ...others]);
    assert.deepEqual([done, times(), commits()], [["alone", "other", "other", "other"], 2, 2]);
  });

  test("is refused after some conflicts, and what waited for it goes on", async () => {
    const { index, committer, claims, published } = createRig({ conflicts: Infinity });
    const { change, times } = changeOf(index);
    const alone = assert.rejects(committer.runAlone(change), isUnavailable);
    const other = committer.run(() => sideDraft("answer", {}));
    await alone;
    assert.deepEqual([await other, times(), published], ["answer", 5, []]);
    await claims.released.until((released) => released === 1, AbortSignal.timeout(20_000));
  });

  test("is not planned anew for a caller that has gone", async () => {
    const { index, committer } = createRig({ conflicts: 1 });
    const caller = { isOver: false };
    const { change, times } = changeOf(index, () => Promise.resolve().then(() => void (caller.isOver = true)));
    await assert.rejects(committer.runAlone(change, caller), isUnavailable);
    assert.equal(times(), 1);
  });

  for (const isShared of [true, false])
    test(`is refused where it cannot be prepared, ${isShared ? "beside other servers" : "alone"}`, async () => {
      const { index, committer } = createRig({ isShared });
      const failed = new DriverError("failed", "Cannot read: the test says so");
      const { change } = changeOf(index, () => Promise.reject(failed));
      await assert.rejects(committer.runAlone(change), isUnavailable);
      const broken = new Error("broken");
      const { change: bug } = changeOf(index, () => Promise.reject(broken));
      await assert.rejects(committer.runAlone(bug), broken);
      assert.equal(await committer.run(() => sideDraft("answer", {})), "answer");
    });
});

test("Committer: a database that was found without acknowledged changes lacks them also while it is away", async () => {
  const failures = [new LostHistoryError("its last row is 1, and 2 was there"), new DriverError("failed", "Away")];
  const { committer } = createRig({ conflicts: 1, failures });
  await assert.rejects(
    committer.run(() => sideDraft("answer", { leases: [{ id: 1n, ttlSeconds: 60, expiresAtMs: 5 }] })),
    /lacks changes that were acknowledged/,
  );
  assert.equal(committer.lacksChanges, true);
});

describe("Committer.run() on a full disk", () => {
  test("tells the cure, and that commits work again only once puts are taken", async () => {
    const { index, committer, told } = createRig({ isShared: false, script: ["full", "made", "full", "made", "made"] });
    const isNoSpace = (error: unknown) => error instanceof StoreError && error.reason === "noSpace";
    const messages = () => told.map((line) => /cannot commit|work again|room for puts again/.exec(line)?.[0] ?? line);
    const renew = () => sideDraft("renewed", { leases: [{ id: 1n, ttlSeconds: 5, expiresAtMs: 0 }] });
    await assert.rejects(committer.run(putting(index, "a")), isNoSpace);
    assert.match(told[0] ?? "", /delete keys and compact; it goes on by itself/);
    assert.equal(await committer.run(renew), "renewed");
    await assert.rejects(committer.run(putting(index, "b")), isNoSpace);
    assert.deepEqual(messages(), ["cannot commit"]);
    await committer.run(putting(index, "c"));
    assert.deepEqual(messages(), ["cannot commit", "room for puts again", "work again"]);
  });
});

describe("Committer.run() with changes that the database cannot hold", () => {
  const canHold = ({ name }: NewRow) => !name.startsWith("bad");

  /** What becomes of all of them when they are asked for at once: a row, or a refusal. */
  async function putAll({ index, committer }: ReturnType<typeof createRig>, keys: readonly string[]) {
    const outcomes = await Promise.allSettled(keys.map((key) => committer.run(putting(index, key))));
    return outcomes.map((outcome) => {
      if (outcome.status === "fulfilled") return outcome.value;
      assert.ok(isRefused(outcome.reason), String(outcome.reason));
      return "refused";
    });
  }

  for (const [count, bad] of [
    [1, [0]],
    [2, [1]],
    [3, [0]],
    [64, [21]],
    [64, [0, 31, 63]],
  ] as const)
    test(`refuses ${bad.length} of ${count} that share a commit, and makes all others`, async () => {
      const rig = createRig({ canHold });
      const keys = Array.from({ length: count }, (_, i) => `${bad.some((at) => at === i) ? "bad" : "good"}${i}`);
      const outcomes = await putAll(rig, keys);
      assert.deepEqual(
        keys.filter((_, i) => outcomes[i] === "refused"),
        keys.filter((key) => key.startsWith("bad")),
      );
      const rows = outcomes.filter((row) => typeof row === "number").toSorted((a, b) => a - b);
      assert.deepEqual(
        rows,
        Array.from({ length: count - bad.length }, (_, i) => i + 1),
      );
      assert.equal(rig.index.committed, count - bad.length);
      assert.ok(rig.commits() <= 1 + 2 * bad.length * Math.ceil(Math.log2(count)), `${rig.commits()} commits`);
    });

  test("writes up to the last id that fits, and refuses the rest", async () => {
    const rig = createRig({ canHold: ({ id }) => id <= 3 });
    const outcomes = await putAll(rig, ["a", "b", "c", "d", "e", "f"]);
    assert.deepEqual(outcomes, [1, 2, 3, "refused", "refused", "refused"]);
  });

  test("plans anew what was compared with one of them", async () => {
    const { index, committer } = createRig({ canHold });
    const bad = assert.rejects(committer.run(putting(index, "bad")), isRefused);
    const seen: boolean[] = [];
    const compared = committer.run(() => {
      seen.push(index.newest("bad") !== undefined);
      return sideDraft("answer", {});
    });
    await bad;
    assert.deepEqual([await compared, seen.at(0), seen.at(-1)], ["answer", true, false]);
  });

  test("tells the log once what is asked for over and over, and never that the database fails", async () => {
    const rig = createRig({ canHold });
    for (let i = 0; i < 3; i++) await putAll(rig, ["good", "bad"]);
    assert.equal(rig.lines.length, 1, rig.lines.join(""));
    assert.match(rig.lines.join(""), /refused a change that the datastore cannot hold.*the test cannot hold it/);
  });

  test("takes the claim of a commit that was refused for used up: the next conflict is not a stranger's", async () => {
    const rig = createRig({ script: ["conflict", "refused", "conflict"] });
    assert.equal((await putAll(rig, ["a", "b"])).includes("refused"), false);
    assert.deepEqual(rig.claims.taken, ["servers", "servers"]);
  });

  test("does not count refusals among the conflicts that nothing explains", async () => {
    const rig = createRig({ script: ["refused", "refused", "unexplained", "unexplained"] });
    assert.equal((await putAll(rig, ["a", "b", "c", "d"])).includes("refused"), false);
  });

  test("refuses a large change at once, and what waited for it goes on", async () => {
    const rig = createRig({ script: ["refused"] });
    const { change, times } = changeOf(rig.index);
    const alone = assert.rejects(rig.committer.runAlone(change), isRefused);
    const others = putAll(rig, ["a", "b"]);
    await alone;
    assert.deepEqual([await others, times(), rig.commits()], [[1, 2], 1, 2]);
  });
});

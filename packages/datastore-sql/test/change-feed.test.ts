import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { Latest, nextTurn } from "@k3s/async";
import { createLogger } from "@k3s/log";
import { ChangeFeed } from "../src/change-feed.ts";
import { ConnectGate } from "../src/connect-gate.ts";
import type { Dialect, SqlSession } from "../src/dialect.ts";

class StubSession implements SqlSession {
  readonly #lost = new AbortController();

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  end(): Promise<void> {
    this.destroy(new Error("Ended"));
    return Promise.resolve();
  }

  destroy(reason: Error): void {
    this.#lost.abort(reason);
  }
}

type Answer = (session: StubSession, attempt: number) => Promise<void> | void;

/** Listens on a database that lets everybody in. */
function listen(t: TestContext, onListen: Answer) {
  const seen = {
    at: [] as number[],
    attempts: new Latest(0),
    pings: new Latest(0),
    lines: [] as string[],
    last: new StubSession(),
  };
  const log = createLogger({ level: "info", format: "json", write: (line) => seen.lines.push(line) });
  const position = { lastRow: 0, compactRevision: 0 };
  const partial: Partial<Dialect<StubSession>> = {
    product: "Stub",
    connectLimitMs: 1000,
    connect: async () => {
      await nextTurn();
      return new StubSession();
    },
    position: () => {
      seen.pings.set(seen.pings.get() + 1);
      return Promise.resolve(position);
    },
    listen: async (session) => {
      seen.at.push(performance.now());
      seen.attempts.set(seen.at.length);
      seen.last = session;
      await onListen(session, seen.at.length);
    },
  };
  const dialect = partial as Dialect<StubSession>; // sound: nothing else is asked of it here
  const gate = new ConnectGate(dialect);
  const parts = { dialect, gate, position: () => Promise.resolve(position), pollMs: undefined, pingMs: 20, log };
  const feed = new ChangeFeed(parts);
  t.after(() => feed.stop());
  feed.start(() => undefined);
  return Object.assign(seen, { feed });
}

async function atLeast(count: number, seen: Latest<number>): Promise<void> {
  await seen.until((now) => now >= count, AbortSignal.timeout(20_000));
  await nextTurn(); // what it was answered has had its effect
}

/** How long it took from the first attempt to the sixth, in ms. */
async function sixAttempts({ at, attempts }: ReturnType<typeof listen>): Promise<number> {
  await atLeast(6, attempts);
  return (at[5] ?? 0) - (at[0] ?? 0);
}

describe("listening for changes", () => {
  test("is given up when the database stands still, tried again, and ends with the driver", async (t) => {
    const silent = new Promise<void>(() => undefined);
    const seen = listen(t, () => silent);
    await atLeast(1, seen.attempts);
    const first = seen.last;
    await atLeast(2, seen.attempts);
    assert.equal(first.lost.aborted, true);
    await seen.feed.stop();
    assert.equal(seen.last.lost.aborted, true);
    assert.deepEqual(seen.lines, []);
  });

  test("is tried at growing distances where the database refuses it, and the log is told once", async (t) => {
    const seen = listen(t, () => Promise.reject(new Error("cannot execute LISTEN during recovery")));
    const tookMs = await sixAttempts(seen);
    assert.ok(tookMs >= 1200, `${tookMs} ms`); // 40 + 80 + 160 + 320 + 640
    assert.equal(seen.lines.length, 1);
    assert.match(seen.lines[0] ?? "", /"hint":"[^"]*primary[^"]*pooler.*does not tell of changes/);
  });

  test("is tried at growing distances where each connection is cut, of which the log has nothing to tell", async (t) => {
    const seen = listen(t, (session) => session.destroy(new Error("Cut")));
    const tookMs = await sixAttempts(seen);
    assert.ok(tookMs >= 1200, `${tookMs} ms`);
    assert.deepEqual(seen.lines, []);
  });

  test("begins again soon after it has worked, and a later refusal is told again", async (t) => {
    const seen = listen(t, (_, attempt) => (attempt === 6 ? Promise.resolve() : Promise.reject(new Error("Not now"))));
    await sixAttempts(seen);
    await atLeast(2, seen.pings);
    const cutAt = performance.now();
    seen.last.destroy(new Error("Cut"));
    await atLeast(7, seen.attempts);
    const tookMs = (seen.at[6] ?? 0) - cutAt;
    assert.ok(tookMs < 1000, `${tookMs} ms`);
    assert.equal(seen.lines.length, 2);
  });
});

import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { nextTurn } from "@k3s/async";
import { createLogger } from "@k3s/log";
import type { Dialect, SqlSession } from "../src/dialect.ts";
import { SqlDriver } from "../src/sql-driver.ts";

const log = createLogger({ level: "error", format: "json", write: () => undefined });

class StubSession implements SqlSession {
  readonly #lost = new AbortController();

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  end(): Promise<void> {
    this.#lost.abort(new Error("Ended"));
    return Promise.resolve();
  }

  destroy(reason: Error): void {
    this.#lost.abort(reason);
  }
}

/** A driver over a database that takes every lock at once, and whose sessions with a lock never answer what is asked of them. */
function openDriver(t: TestContext) {
  const done: string[] = [];
  const locked = new Set<SqlSession>();
  const dialect: Partial<Dialect<StubSession>> = {
    product: "Stub",
    connectLimitMs: 1000,
    connect: () => Promise.resolve(new StubSession()),
    classify: () => "failed",
    lock: (session, scope) => {
      locked.add(session);
      done.push(`lock ${scope}`);
      return Promise.resolve(scope);
    },
    unlock: (session) => {
      locked.delete(session);
      done.push("unlock");
      return Promise.resolve();
    },
    leases: (session) => (locked.has(session) ? new Promise(() => undefined) : Promise.resolve([])),
  };
  // Sound: these tests ask nothing else of it.
  const driver = new SqlDriver({ dialect: dialect as Dialect<StubSession>, log });
  t.after(() => driver.close());
  return { shared: driver.shared, done };
}

/** Lets time pass, and whatever waits for it happen. */
async function pass(t: TestContext, ms: number): Promise<void> {
  for (let leftMs = ms; leftMs > 0; leftMs -= 50) {
    t.mock.timers.tick(50);
    await nextTurn();
  }
}

describe("a claim", () => {
  test("whose session does not answer is given up, and what was asked under it is read by another one", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { shared } = openDriver(t);
    const claim = await shared.claim("everybody");
    let answer: unknown;
    const [first, second] = [shared.leases().then((leases) => (answer = leases)), shared.leases()];
    await pass(t, 9000);
    assert.equal(answer, undefined);
    await pass(t, 2000);
    assert.deepEqual([answer, await first, await second], [[], [], []]);
    await claim.release(); // it is over already
  });

  test("of everybody ends the one of servers that is held, and begins behind it", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] }); // it does not end by itself: time stands still
    const { shared, done } = openDriver(t);
    const narrow = await shared.claim("servers");
    const wide = await shared.claim("everybody");
    assert.deepEqual(done, ["lock servers", "unlock", "lock everybody"]);
    await narrow.release();
    assert.equal(done.length, 3, "the end of the old one ended the new one");
    await wide.release();
    assert.deepEqual(done.slice(3), ["unlock"]);
  });

  test("of servers is the one of everybody that is held", async (t) => {
    const { shared, done } = openDriver(t);
    await shared.claim("everybody");
    const narrow = await shared.claim("servers");
    await narrow.release();
    assert.deepEqual(done, ["lock everybody", "unlock"]);
  });
});

import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { Latest } from "@k3s/async";
import { createLogger } from "@k3s/log";
import { ApiHealth, type ApiHealthTimes } from "../src/api-health.ts";

const QUICK: ApiHealthTimes = { everyMs: 1, againMs: 1, limitMs: 20, deadAfterMs: 50 };
const NEVER = 1_000_000;
const LIMIT_MS = 30_000;

type Answer = (signal: AbortSignal) => Promise<void>;

const good: Answer = () => Promise.resolve();
const bad: Answer = () => Promise.reject(new Error("It answers 500 on /readyz: [-]etcd failed"));
const hung: Answer = (signal) =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new Error("the request was aborted")), { once: true });
  });

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly reason?: string;
}

interface Plan {
  readonly answers?: readonly Answer[];
  readonly times?: Partial<ApiHealthTimes>;
}

/** A running watch of an API that answers as it is told; `answers` are given first, one each. */
async function watched(t: TestContext, { answers = [], times = {} }: Plan = {}) {
  const lines: Line[] = [];
  const api = { answer: good, checks: new Latest(0), deaths: 0 };
  const first = [...answers];
  const health = new ApiHealth({
    check: (signal) => {
      api.checks.set(api.checks.get() + 1);
      return (first.shift() ?? api.answer)(signal);
    },
    onDead: () => (api.deaths += 1),
    times: { ...QUICK, ...times },
    log: createLogger({ level: "info", format: "json", write: (line) => lines.push(JSON.parse(line) as Line) }),
  });
  t.after(() => health.stop());
  assert.equal(health.isGood, false);
  await health.start();
  const after = async (checks: number) => {
    const until = api.checks.get() + checks;
    await api.checks.until((count) => count > until, AbortSignal.timeout(LIMIT_MS));
  };
  const became = async (isGood: boolean) => {
    await api.checks.until(() => health.isGood === isGood, AbortSignal.timeout(LIMIT_MS));
  };
  return { health, api, lines, after, became };
}

describe("ApiHealth", () => {
  test("calls an API that never answers dead, once, and says so with the reason", async (t) => {
    const { health, api, lines, after, became } = await watched(t);
    await after(3);
    assert.equal(health.isGood, true);
    assert.equal(health.isDead, false);
    api.answer = hung;
    await became(false);
    assert.equal(health.isDead, true);
    await after(3);
    assert.equal(api.deaths, 1);
    assert.deepEqual(
      lines.map(({ level, reason }) => ({ level, reason })),
      [{ level: "warn", reason: "its answer took longer than 0.02 s" }],
    );
  });

  test("lets clients in again when it answers, and can find it dead another time", async (t) => {
    const { health, api, lines, became } = await watched(t);
    for (const deaths of [1, 2]) {
      api.answer = bad;
      await became(false);
      assert.equal(api.deaths, deaths);
      assert.equal(lines.at(-1)?.reason, "It answers 500 on /readyz: [-]etcd failed");
      api.answer = good;
      await became(true);
      assert.match(lines.at(-1)?.msg ?? "", /answers again/);
    }
    assert.equal(health.isDead, false);
  });

  test("takes failures for a busy machine as long as they are few or short", async (t) => {
    const few = await watched(t, { answers: [good, bad, good, hung, good], times: { deadAfterMs: 0 } });
    const short = await watched(t, { answers: [bad, bad, bad, bad, bad], times: { deadAfterMs: NEVER } });
    for (const { health, api, lines, after } of [few, short]) {
      await after(8);
      assert.equal(health.isGood, true);
      assert.equal(api.deaths, 0);
      assert.deepEqual(lines, []);
    }
  });

  test("does not take a program that ends again and again for a good one", async (t) => {
    const { health, api, after, became } = await watched(t);
    api.answer = bad;
    await became(false);
    let count = 0;
    api.answer = (signal) => (count++ % 3 === 2 ? bad(signal) : good(signal));
    await after(12);
    assert.equal(health.isDead, true);
    assert.equal(api.deaths, 1);
  });

  test("is neither good nor dead once it is stopped, and does not wait for an answer", async (t) => {
    const { health, api, after } = await watched(t, { times: { limitMs: NEVER } });
    api.answer = hung;
    await after(0);
    await health.stop();
    assert.equal(health.isGood, false);
    assert.equal(health.isDead, false);
    assert.equal(api.deaths, 0);
  });
});

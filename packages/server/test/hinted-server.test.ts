import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { ApiError } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";
import { until } from "@k3s/testkit";
import { HintedServer } from "../src/hinted-server.ts";

interface Request {
  readonly lastRow: number;
  readonly signal: AbortSignal;
  readonly answer: PromiseWithResolvers<void>;
}

/** A server with a clock of its own, whose requests the test answers. */
function start(t: TestContext) {
  let nowMs = 0;
  const requests: Request[] = [];
  const outcomes: string[] = [];
  const lines: string[] = [];
  const server = new HintedServer({
    send: (lastRow, signal) => {
      const answer = Promise.withResolvers<void>();
      requests.push({ lastRow, signal, answer });
      signal.addEventListener("abort", () => answer.reject(signal.reason), { once: true });
      return answer.promise;
    },
    onClose: () => outcomes.push("closed"),
    onOutcome: (outcome) => outcomes.push(outcome),
    nowMs: () => nowMs,
    log: createLogger({ level: "debug", format: "text", write: (line) => void lines.push(line) }),
  });
  t.after(() => server.close());
  const rows = () => requests.map(({ lastRow }) => lastRow);
  const untilRows = (...expected: readonly number[]) =>
    until(`it was told of ${expected.join()}`, () => Promise.resolve(rows().join() === expected.join()));
  const untilOutcomes = (count: number) =>
    until(`there are ${count} outcomes`, () => Promise.resolve(outcomes.length === count));
  /** Refuses the request that is under way and lets the news of it arrive. */
  const refuse = async (error: Error) => {
    const count = outcomes.length + 1;
    requests.at(-1)?.answer.reject(error);
    await untilOutcomes(count);
    assert.equal(outcomes.at(-1), "failed");
  };
  return {
    server,
    requests,
    outcomes,
    lines,
    rows,
    untilRows,
    untilOutcomes,
    refuse,
    wait: (ms: number) => (nowMs += ms),
  };
}

describe("HintedServer", { concurrency: true }, () => {
  test("has one request under way, and then tells the newest row alone", async (t) => {
    const { server, requests, rows, untilRows, untilOutcomes } = start(t);
    server.tell(1);
    for (let row = 2; row <= 100; row++) server.tell(row);
    server.tell(50);
    assert.deepEqual(rows(), [1]);
    requests[0]?.answer.resolve();
    await untilRows(1, 100);
    requests[1]?.answer.resolve();
    await untilOutcomes(2);
    server.tell(100);
    server.tell(99);
    server.tell(101);
    await untilRows(1, 100, 101);
  });

  test("gives a request up that is not answered", async (t) => {
    const { server, requests, outcomes, untilOutcomes } = start(t);
    server.tell(1);
    await untilOutcomes(1);
    assert.deepEqual(outcomes, ["failed"]);
    assert.equal(requests[0]?.signal.aborted, true);
  });

  test("leaves a server alone that does not answer, for 1 s at first and 30 s in the end", async (t) => {
    const { server, rows, requests, lines, refuse, wait, untilOutcomes } = start(t);
    let row = 1;
    server.tell(row);
    for (const restMs of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
      await refuse(new Error("it is away"));
      wait(restMs - 1);
      server.tell(++row);
      assert.equal(rows().length, requests.length);
      assert.notEqual(rows().at(-1), row, `told before ${restMs} ms`);
      wait(1);
      server.tell(++row);
      assert.equal(rows().at(-1), row);
    }
    assert.equal(lines.length, 1, lines.join(""));
    requests.at(-1)?.answer.resolve();
    await untilOutcomes(8);
    await until("it is told of the next row", () => {
      server.tell(++row);
      return Promise.resolve(rows().at(-1) === row);
    });
    await refuse(new Error("it is away again"));
    wait(1000);
    server.tell(++row);
    assert.equal(rows().at(-1), row); // it was well in between
  });

  test("leaves a server alone for ten minutes that does not know the path", async (t) => {
    const { server, rows, refuse, wait } = start(t);
    server.tell(1);
    await refuse(new ApiError(404, "NotFound", "the server could not find the requested resource"));
    wait(599_999);
    server.tell(2);
    assert.deepEqual(rows(), [1]);
    wait(1);
    server.tell(3);
    assert.deepEqual(rows(), [1, 3]);
  });

  test("warns of a server with a certificate of others, and of nothing else", async (t) => {
    const { server, lines, refuse, wait } = start(t);
    server.tell(1);
    await refuse(Object.assign(new Error("self-signed certificate"), { code: "SELF_SIGNED_CERT_IN_CHAIN" }));
    wait(1000);
    server.tell(2);
    await refuse(Object.assign(new Error("self-signed certificate"), { code: "SELF_SIGNED_CERT_IN_CHAIN" }));
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /WARN/);
    const away = start(t);
    away.server.tell(1);
    await away.refuse(Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" }));
    assert.match(away.lines[0] ?? "", /DEBUG/);
  });

  test("close() ends the request under way, and nothing is told after it", async (t) => {
    const { server, requests, outcomes, rows } = start(t);
    server.tell(1);
    await server.close();
    assert.equal(requests[0]?.signal.aborted, true);
    server.tell(2);
    assert.deepEqual([rows(), outcomes], [[1], ["closed"]]);
  });
});

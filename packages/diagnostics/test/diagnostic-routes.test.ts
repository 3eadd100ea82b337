import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { KubeClient } from "@k3s/kube-client";
import { Counter, METRICS_CONTENT_TYPE, MetricsRegistry } from "@k3s/metrics";
import { RouteRefusal, type Route, type RouteRequest } from "@k3s/supervisor-api";
import { AccessReviewer, diagnosticRoutes } from "../src/index.ts";

type Caller = RouteRequest["caller"];
const nobody: Caller = { name: "jane", groups: ["guests"], proof: "certificate" };
const scraper: Caller = { name: "prometheus", groups: ["scrapers"], proof: "token" };
const admin: Caller = { name: "root", groups: ["system:masters"], proof: "certificate" };

interface Asked {
  readonly spec: { readonly user: string; readonly groups: readonly string[]; readonly nonResourceAttributes: object };
}

/** Allows the scraper and counts who was asked for. */
function fakeApi(asked: Asked[], isDown: () => boolean = () => false): AccessReviewer {
  const create = (path: string, review: unknown) => {
    assert.equal(path, "/apis/authorization.k8s.io/v1/subjectaccessreviews");
    if (isDown()) return Promise.reject(new Error("nobody there"));
    const { spec } = review as Asked;
    asked.push({ spec });
    return Promise.resolve({ status: { allowed: spec.user === scraper.name } });
  };
  // Sound: nothing else of the client is used.
  return new AccessReviewer(() => ({ create }) as unknown as KubeClient);
}

function registry(): MetricsRegistry {
  const metrics = new MetricsRegistry();
  metrics.add(new Counter({ name: "demo_total", help: "Demo" })).increment({});
  return metrics;
}

function request(caller: Caller, more: Partial<RouteRequest> = {}): RouteRequest {
  return {
    method: "GET",
    caller,
    remoteAddress: "127.0.0.1",
    query: new URLSearchParams(),
    header: () => undefined,
    body: () => Promise.resolve(Buffer.alloc(0)),
    signal: AbortSignal.timeout(60_000),
    ...more,
  };
}

function answerOf(routes: ReadonlyMap<string, Route>, path: string) {
  const route = routes.get(path);
  assert.ok(route !== undefined);
  return (asked: RouteRequest) => route.answer(asked);
}

async function codeOf(answer: () => Promise<unknown>): Promise<number> {
  try {
    await answer();
    return 200;
  } catch (error) {
    if (error instanceof RouteRefusal) return error.failure.code;
    throw error;
  }
}

describe("metrics", () => {
  test("are shown to whoever kube-apiserver allows it, and to masters without asking", async () => {
    const asked: Asked[] = [];
    const routes = diagnosticRoutes({ metrics: registry(), hasProfiles: false, access: fakeApi(asked) });
    const answer = answerOf(routes, "/metrics");
    const got = await answer(request(scraper));
    assert.equal(got.contentType, METRICS_CONTENT_TYPE);
    assert.match(String(got.body), /^demo_total 1$/m);
    assert.equal(await codeOf(async () => answer(request(admin))), 200);
    assert.equal(await codeOf(async () => answer(request(nobody))), 403);
    assert.deepEqual(
      asked.map(({ spec }) => spec),
      [scraper, nobody].map(({ name, groups }) => ({
        user: name,
        groups: [...groups, "system:authenticated"],
        nonResourceAttributes: { path: "/metrics", verb: "get" },
      })),
    );
    await answer(request(scraper));
    assert.equal(asked.length, 2, "an answer holds for a while");
  });

  test("are not shown for a password of the supervisor, nor to be written", async () => {
    const routes = diagnosticRoutes({ metrics: registry(), hasProfiles: true, access: fakeApi([]) });
    for (const path of routes.keys()) {
      const answer = answerOf(routes, path);
      assert.equal(await codeOf(async () => answer(request({ ...admin, proof: "password" }))), 401);
      assert.equal(await codeOf(async () => answer(request(admin, { method: "POST" }))), 405);
    }
  });

  test("are refused for now while kube-apiserver cannot be asked", async () => {
    const access = fakeApi([], () => true);
    const answer = answerOf(diagnosticRoutes({ metrics: registry(), hasProfiles: false, access }), "/metrics");
    assert.equal(await codeOf(async () => answer(request(scraper))), 503);
    assert.equal(await codeOf(async () => answer(request(admin))), 200);
  });

  test("and profiles are there only if wanted", () => {
    const access = fakeApi([]);
    assert.equal(diagnosticRoutes({ metrics: undefined, hasProfiles: false, access }).size, 0);
    const profiles = diagnosticRoutes({ metrics: undefined, hasProfiles: true, access });
    assert.deepEqual([...profiles.keys()], ["/debug/pprof/", "/debug/pprof/profile", "/debug/pprof/heap"]);
  });
});

describe("profiles", () => {
  const routes = diagnosticRoutes({ metrics: undefined, hasProfiles: true, access: fakeApi([]) });
  const profile = answerOf(routes, "/debug/pprof/profile");
  const heap = answerOf(routes, "/debug/pprof/heap");
  const seconds = (value: string) => ({ query: new URLSearchParams({ seconds: value }) });

  test("of the processor name the function that is busy", async () => {
    const taking = profile(request(nobody, seconds("0.3")));
    const isTaken = taking.then(() => true);
    const pause = () => new Promise<false>((resolve) => setImmediate(() => resolve(false)));
    while (!(await Promise.race([isTaken, pause()]))) thisFunctionIsBusy();
    const { body, contentType } = await taking;
    assert.equal(contentType, "application/json");
    const { nodes, samples } = JSON.parse(String(body)) as {
      nodes: { callFrame: { functionName: string } }[];
      samples: number[];
    };
    assert.ok(samples.length > 0);
    assert.ok(nodes.some(({ callFrame }) => callFrame.functionName === thisFunctionIsBusy.name));
  });

  test("of the heap name who takes memory, and hold no value of it", async () => {
    const kept: object[] = [];
    const taking = heap(request(nobody, seconds("0.3")));
    const isTaken = taking.then(() => true);
    const pause = () => new Promise<false>((resolve) => setImmediate(() => resolve(false)));
    while (!(await Promise.race([isTaken, pause()]))) if (kept.length < 500) kept.push(thisFunctionIsGreedy());
    const text = String((await taking).body);
    assert.match(text, /"functionName":"thisFunctionIsGreedy"/);
    assert.doesNotMatch(text, /pass-word/);
  });

  test("are taken one at a time, and end with the client", async () => {
    const gone = new AbortController();
    const first = profile(request(nobody, { ...seconds("600"), signal: gone.signal }));
    assert.equal(await codeOf(async () => heap(request(nobody, seconds("0.1")))), 429);
    gone.abort(new Error("the client is gone"));
    await assert.rejects(first, /the client is gone/);
    assert.equal(await codeOf(async () => profile(request(nobody, seconds("0.01")))), 200);
  });

  test("need a time that makes sense", async () => {
    for (const value of ["0", "-1", "601", "x", "NaN"])
      assert.equal(await codeOf(async () => profile(request(nobody, seconds(value)))), 400, value);
  });
});

function thisFunctionIsBusy(): number {
  let sum = 0;
  for (let i = 0; i < 200_000; i++) sum += Math.sqrt(i);
  return sum;
}

function thisFunctionIsGreedy(): object {
  return Array.from({ length: 20_000 }, (_, index) => ({ index, secret: "pass-word" }));
}

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { KubeClient } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";
import { K3S_TIMES, KUBERNETES_TIMES, LeaderElection, type ElectionTimes } from "../src/index.ts";

const log = createLogger({ level: "error", format: "text", write: () => undefined });

/** A leader whose API has stopped to answer: each request takes what the leader gives it. The clock goes by what is waited for. */
async function hangingRig(times: ElectionTimes) {
  const clock = { ms: 0 };
  let isHanging = false;
  let requests = 0;
  const client: Pick<KubeClient, "get" | "create" | "patch"> = {
    get: () => Promise.resolve({ metadata: { name: "lease" }, spec: {} } as never),
    create: () => Promise.reject(new Error("not asked for")),
    patch: () => Promise.resolve({} as never),
  };
  const hang = () => {
    requests += 1;
    clock.ms += Math.min(times.renewMs - clock.ms, times.renewMs / 3);
    return Promise.reject(new Error("no answer"));
  };
  const hanging: typeof client = { ...client, get: hang };
  const election = new LeaderElection({
    client: () => (isHanging ? hanging : client) as KubeClient, // sound: nothing else of it is used
    name: "lease",
    identity: "a",
    times,
    log,
    now: () => clock.ms,
    sleep: (ms) => Promise.resolve(void (clock.ms += ms)),
  });
  await election.acquire(AbortSignal.timeout(60_000));
  isHanging = true;
  return { clock, election, requests: () => requests };
}

describe("LeaderElection", () => {
  for (const times of [KUBERNETES_TIMES, K3S_TIMES]) {
    const seconds = Object.values(times).map((ms: number) => ms / 1_000);
    test(`hold() ends with the time for renewals when nothing answers, and what follows with the lease (${seconds.join("/")})`, async () => {
      const { clock, election, requests } = await hangingRig(times);
      await election.hold(AbortSignal.timeout(60_000));
      assert.equal(clock.ms, times.renewMs);
      assert.ok(requests() > 1);
      assert.ok(election.stepDownMs > 0 && clock.ms + election.stepDownMs < times.leaseMs);
    });
  }
});

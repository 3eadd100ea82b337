import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { electionTimes, K3S_TIMES } from "../src/index.ts";

describe("electionTimes()", () => {
  test("are those of k3s", () => assert.deepEqual(electionTimes({}), K3S_TIMES));

  test("are those of the variables, as Go writes durations", () => {
    const env = {
      CATTLE_ELECTION_LEASE_DURATION: "1m30s",
      CATTLE_ELECTION_RENEW_DEADLINE: "1.5m",
      CATTLE_ELECTION_RETRY_PERIOD: "500ms",
    };
    assert.equal(electionTimes(env), undefined);
    assert.deepEqual(electionTimes({ ...env, CATTLE_ELECTION_RENEW_DEADLINE: "60s" }), {
      ...{ leaseMs: 90_000, renewMs: 60_000, retryMs: 500 },
    });
  });

  const broken = [
    ["a deadline after the end of the lease", { CATTLE_ELECTION_LEASE_DURATION: "20s" }],
    ["a deadline before the second attempt", { CATTLE_ELECTION_RETRY_PERIOD: "29s" }],
    ["a number without unit", { CATTLE_ELECTION_LEASE_DURATION: "60" }],
    ["nothing", { CATTLE_ELECTION_RETRY_PERIOD: "" }],
    ["no time at all", { CATTLE_ELECTION_RETRY_PERIOD: "0s" }],
  ] as const;
  for (const [what, env] of broken) test(`are none with ${what}`, () => assert.equal(electionTimes(env), undefined));
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { collectLog } from "@k3s/testkit";
import { NatsError } from "../src/errors.ts";
import { retryPolicy } from "../src/open-nats-driver.ts";

test("the log is told of the first try that took long, and about once a minute after it, with how long it has been waited", (t) => {
  let now = 1000;
  t.mock.method(performance, "now", () => now);
  const { log, lines } = collectLog();
  const { onRetry } = retryPolicy("nats://host", log);
  for (let attempt = 1; attempt <= 60; attempt++) {
    now += 2000;
    onRetry?.(NatsError.unreachable("nats://host", undefined), attempt);
  }
  const waited = lines.map((line) => /"durationMs":(\d+).*waiting for NATS/.exec(line)?.[1]);
  assert.deepEqual(waited, ["2000", "62000"]);
});

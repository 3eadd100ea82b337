import assert from "node:assert/strict";
import { test } from "node:test";
import { ClusterConfigError, parseClusterConfig } from "@k3s/cluster-config";
import { createLogger } from "@k3s/log";
import { WaitingLog } from "../src/waiting-log.ts";

interface Line {
  readonly msg: string;
  readonly reason: string;
  readonly hint?: string;
  readonly waitedSeconds: number;
}

function waiting() {
  const lines: Line[] = [];
  const log = createLogger({ level: "info", format: "json", write: (line) => lines.push(JSON.parse(line) as Line) });
  const clock = { ms: 5_000 };
  return { lines, clock, waits: new WaitingLog(log, () => clock.ms) };
}

test("WaitingLog says each new reason at once and the same one again every minute", () => {
  const { lines, clock, waits } = waiting();
  const refused = new Error("connect ECONNREFUSED");
  for (let seconds = 0; seconds < 180; seconds += 10) {
    waits.failed("waiting for a server", refused);
    clock.ms += 10_000;
  }
  assert.deepEqual(
    lines.map(({ msg, reason, waitedSeconds }) => [msg, reason, waitedSeconds]),
    [0, 60, 120].map((seconds) => ["waiting for a server", "connect ECONNREFUSED", seconds]),
  );
  waits.failed("waiting for a server", new Error("timed out"));
  waits.failed("waiting for a server", refused);
  assert.deepEqual(
    lines.slice(3).map(({ reason }) => reason),
    ["timed out", "connect ECONNREFUSED"],
  );
});

test("WaitingLog tells of a server that is too old what has to be done", () => {
  const { lines, waits } = waiting();
  assert.throws(
    () => parseClusterConfig(`{"HTTPSPort":6443,"SupervisorPort":6443}`),
    (error) => {
      assert.ok(error instanceof ClusterConfigError);
      waits.failed("waiting to join the cluster", error);
      return true;
    },
  );
  const [line] = lines;
  assert.match(line?.reason ?? "", /the server is too old: incompatible down-level server detected/);
  assert.match(line?.hint ?? "", /^Upgrade the servers to at least v1\.\S+, or restart them with/);
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { KubeClient } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";
import { RouteRefusal, type RouteRequest } from "@k3s/supervisor-api";
import { NodeCheck } from "../src/index.ts";

/** A cluster that takes any password for any name; the server's own node is `local`. */
function rig() {
  const lines: string[] = [];
  const check = new NodeCheck({
    // Sound: nothing of the client is used where `passwords` answers.
    client: () => ({}) as unknown as KubeClient,
    passwords: { verify: () => Promise.resolve("right") },
    localNode: { name: "local", password: () => Promise.resolve("local-password") },
    log: createLogger({ level: "warn", format: "json", write: (line) => lines.push(line) }),
  });
  return { check, lines };
}

function requestOf(name: string, password: string): RouteRequest {
  const headers = new Map([
    ["k3s-node-name", name],
    ["k3s-node-password", password],
  ]);
  return {
    method: "POST",
    caller: { name: "node", groups: ["k3s:agent"], proof: "password" },
    remoteAddress: "10.0.0.21",
    query: new URLSearchParams(),
    header: (wanted) => headers.get(wanted),
    body: () => Promise.resolve(Buffer.alloc(0)),
    signal: AbortSignal.timeout(60_000),
  };
}

describe("NodeCheck", () => {
  test("who joined under the name of the server's own node before that came is not that node", async () => {
    const { check, lines } = rig();
    await assert.rejects(
      check.check(requestOf("Local", "of-another-machine")),
      (error) => error instanceof RouteRefusal && error.failure.code === 403,
    );
    assert.match(lines.join(), /"remote":"10\.0\.0\.21"/);
    assert.equal(await check.check(requestOf("local", "local-password")), "local");
    assert.equal(await check.check(requestOf("other", "any")), "other");
  });
});

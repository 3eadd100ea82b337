import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { KubeClient } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";
import { until } from "@k3s/testkit";
import { ServerDirectory } from "../src/server-directory.ts";

const log = createLogger({ level: "error", format: "text", write: () => undefined });

function endpoints(...ips: readonly string[]) {
  const ports = [{ port: 6443 }];
  const subsets = ips.length === 0 ? [] : [{ addresses: ips.map((ip) => ({ ip })), ports }];
  return { metadata: { name: "kubernetes" }, subsets };
}

test("ServerDirectory takes a new list over although one without servers follows it", async (t) => {
  const events = new PassThrough();
  const get = () => Promise.resolve({ items: [endpoints("10.0.0.1", "10.0.0.2")], metadata: { resourceVersion: "7" } });
  const stream = (_path: string, signal: AbortSignal) => {
    signal.addEventListener("abort", () => events.end(), { once: true });
    events.write(`${JSON.stringify({ type: "MODIFIED", object: endpoints() })}\n`);
    return Promise.resolve(events);
  };
  const told: string[][] = [];
  const nothing = () => undefined;
  const directory = new ServerDirectory({
    balancer: {
      servers: () => [{ address: "127.0.0.1:1", state: "active", connections: 0 }],
      update: (addresses) => Promise.resolve(void told.push([...addresses])),
      setHealthCheck: nothing,
      healthChanged: nothing,
    },
    // Sound: nothing else of the client is used.
    client: () => ({ get, stream }) as unknown as KubeClient,
    rules: { authorize: () => false, dial: () => assert.fail("nothing is to be dialled") },
    tls: () => Promise.reject(new Error("there is no certificate")),
    log,
  });
  t.after(() => directory.stop());
  await directory.start();
  await until("the list is applied", () => Promise.resolve(told.length > 0));
  assert.deepEqual(told, [["10.0.0.1:6443", "10.0.0.2:6443"]]);
});

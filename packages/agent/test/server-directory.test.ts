import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { Socket } from "node:net";
import { describe, test, type TestContext } from "node:test";
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

interface Parts {
  /** What a list of the API answers; a rejection stands for an API that is away. */
  readonly list: () => Promise<readonly string[]>;
  readonly event?: ReturnType<typeof endpoints>;
  readonly ask?: () => Promise<readonly string[]>;
}

/** Started, and stopped after the test; every list that reaches the balancer. */
async function start(t: TestContext, { list, event, ask }: Parts): Promise<readonly (readonly string[])[]> {
  const get = async () => ({ items: [endpoints(...(await list()))], metadata: { resourceVersion: "7" } });
  const stream = (_path: string, signal: AbortSignal) => {
    const events = new PassThrough();
    signal.addEventListener("abort", () => events.end(), { once: true });
    if (event !== undefined) events.write(`${JSON.stringify({ type: "MODIFIED", object: event })}\n`);
    return Promise.resolve(events);
  };
  const told: (readonly string[])[] = [];
  const nothing = () => undefined;
  const directory = new ServerDirectory({
    balancer: {
      servers: () => [{ address: "127.0.0.1:1", state: "active", connections: 0, dialError: undefined }],
      update: (addresses) => Promise.resolve(void told.push([...addresses])),
      setHealthCheck: nothing,
      healthChanged: nothing,
    },
    // Sound: nothing else of the client is used.
    client: () => ({ get, stream }) as unknown as KubeClient,
    ...(ask === undefined ? {} : { ask }),
    rules: { authorize: () => false, dial: () => assert.fail("nothing is to be dialled") },
    tls: () => Promise.reject(new Error("there is no certificate")),
    log,
  });
  t.after(() => directory.stop());
  await directory.start();
  return told;
}

describe("ServerDirectory", () => {
  test("takes a new list over although one without servers follows it", async (t) => {
    const told = await start(t, { list: () => Promise.resolve(["10.0.0.1", "10.0.0.2"]), event: endpoints() });
    await until("the list is applied", () => Promise.resolve(told.length > 0));
    assert.deepEqual(told, [["10.0.0.1:6443", "10.0.0.2:6443"]]);
  });

  test("asks a server again when the API cannot be listed", async (t) => {
    const answers = [["10.0.0.1:6443"], [], ["10.0.0.2:6443"]];
    const told = await start(t, {
      list: () => Promise.reject(new Error("the API is away")),
      ask: () => Promise.resolve(answers.shift() ?? []),
    });
    await until("the second list is applied", () => Promise.resolve(told.length > 1));
    assert.deepEqual(told, [["10.0.0.1:6443"], ["10.0.0.2:6443"]]);
  });

  test("does not believe an answer that is older than what the API has told", async (t) => {
    const late = Promise.withResolvers<readonly string[]>();
    const answers = [Promise.resolve(["10.0.0.1:6443"]), late.promise];
    let asked = 0;
    const told = await start(t, {
      list: () => Promise.resolve(["10.0.0.2"]),
      ask: () => answers[asked++] ?? Promise.resolve([]),
    });
    await until("the API's list is applied", () => Promise.resolve(told.length > 1));
    late.resolve(["10.0.0.3:6443"]);
    await until("it was asked again", () => Promise.resolve(asked > 1));
    assert.deepEqual(told, [["10.0.0.1:6443"], ["10.0.0.2:6443"]]);
  });

  test("gives every tunnel the way it was told of", async (t) => {
    const dialled: string[] = [];
    const directory = new ServerDirectory({
      known: ["10.0.0.1:6443"],
      client: () => assert.fail("it is not asked"),
      ask: (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("stopped")))),
      rules: { authorize: () => false, dial: () => assert.fail("nothing is to be dialled") },
      tls: () => Promise.resolve({}),
      dial: (address) => {
        dialled.push(address);
        return new Socket();
      },
      log,
    });
    t.after(() => directory.stop());
    await directory.start();
    await until("the tunnel is dialled", () => Promise.resolve(dialled.length > 0));
    assert.equal(dialled[0], "10.0.0.1:6443");
  });
});

import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { describe, test } from "node:test";
import { createLogger } from "@k3s/log";
import { follow, type KubeObject } from "../src/index.ts";
import { type Seen, startApiServer } from "./api-server.ts";

const log = createLogger({ level: "error", format: "text", write: () => undefined });
const object = (name: string, resourceVersion: string): KubeObject => ({ metadata: { name, resourceVersion } });
const isWatch = ({ url }: Seen) => url.includes("watch=true");

function list(response: ServerResponse, resourceVersion: string, ...names: string[]): void {
  response.end(
    JSON.stringify({ metadata: { resourceVersion }, items: names.map((name) => object(name, resourceVersion)) }),
  );
}

function event(type: string, payload: object): string {
  return `${JSON.stringify({ type, object: payload })}\n`;
}

describe("follow()", () => {
  /** Follows until `names` have been offered, and returns the order in which that happened. */
  async function offeredUntil(
    count: number,
    server: Awaited<ReturnType<typeof startApiServer>>,
    fail: (name: string, nth: number) => boolean = () => false,
  ) {
    const offered: string[] = [];
    const done = new AbortController();
    const onObject = ({ metadata }: KubeObject) => {
      offered.push(metadata.name);
      if (offered.length === count) done.abort();
      return fail(metadata.name, offered.length) ? Promise.reject(new Error("not now")) : Promise.resolve();
    };
    await follow(
      server.client,
      { path: "/api/v1/nodes", onObject, log },
      AbortSignal.any([done.signal, AbortSignal.timeout(20_000)]),
    );
    return offered;
  }

  test("offers what the list holds, then what the watch brings, from the list's version on", async (t) => {
    const server = await startApiServer(t, (seen, response) => {
      if (isWatch(seen)) response.write(event("MODIFIED", object("b", "8")));
      else list(response, "7", "a");
    });
    assert.deepEqual(await offeredUntil(2, server), ["a", "b"]);
    assert.match(server.seen[1]?.url ?? "", /resourceVersion=7$/);
  });

  test("tells of each list as a whole, so that what is gone can be seen to be gone", async (t) => {
    let lists = 0;
    const server = await startApiServer(t, (seen, response) => {
      if (isWatch(seen)) response.destroy();
      else list(response, "7", ...(++lists === 1 ? ["a", "b"] : ["b"]));
    });
    const listed: string[][] = [];
    const done = new AbortController();
    const onListed = (objects: readonly KubeObject[]) => {
      if (listed.push(objects.map(({ metadata }) => metadata.name)) === 2) done.abort();
    };
    const onObject = () => Promise.resolve();
    await follow(server.client, { path: "/api/v1/nodes", onObject, onListed, log }, done.signal);
    assert.deepEqual(listed, [["a", "b"], ["b"]]);
  });

  test("understands an event that arrives in pieces", async (t) => {
    const server = await startApiServer(t, (seen, response) => {
      if (isWatch(seen)) {
        const text = event("ADDED", object("pieces", "8"));
        response.write(text.slice(0, 20));
        setImmediate(() => response.write(text.slice(20)));
      } else list(response, "7");
    });
    assert.deepEqual(await offeredUntil(1, server), ["pieces"]);
  });

  test("lists again when the server says its history is gone", async (t) => {
    let lists = 0;
    const server = await startApiServer(t, (seen, response) => {
      if (isWatch(seen))
        response.end(event("ERROR", { kind: "Status", code: 410, reason: "Expired", message: "too old" }));
      else list(response, "7", `list-${++lists}`);
    });
    assert.deepEqual(await offeredUntil(2, server), ["list-1", "list-2"]);
  });

  test("goes on when the server breaks a watch off or answers with an error", async (t) => {
    let requests = 0;
    const server = await startApiServer(t, (seen, response) => {
      if (isWatch(seen)) return void response.destroy();
      if (++requests === 2) return void response.writeHead(503).end();
      list(response, "7", `list-${requests}`);
    });
    assert.deepEqual(await offeredUntil(2, server), ["list-1", "list-3"]);
  });

  test("offers an object again whose handler failed", async (t) => {
    const server = await startApiServer(t, (seen, response) => {
      if (isWatch(seen)) response.end();
      else list(response, "7", "a");
    });
    assert.deepEqual(await offeredUntil(2, server, (_, nth) => nth === 1), ["a", "a"]);
  });
});

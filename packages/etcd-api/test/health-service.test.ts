import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { nextTurn } from "@k3s/async";
import { healthService } from "../src/health-service.ts";
import { emptyStore, serviceContext, temporaryFolder } from "./support/api.ts";

test("Health/Watch leaves nothing behind on the signal of the server when its client goes", async (t) => {
  const { signal: stop } = new AbortController();
  const store = await emptyStore(t, await temporaryFolder(t));
  const method = new Map(healthService(serviceContext(store, { signal: stop }))).get("/grpc.health.v1.Health/Watch");
  assert.ok(method?.kind === "stream");
  const listeners = () => getEventListeners(stop, "abort").length;
  const requests = (async function* () {
    yield await Promise.resolve(Buffer.alloc(0));
  })();
  const gone = new AbortController();
  const told = Promise.withResolvers<void>();
  const write = () => {
    told.resolve();
    return Promise.resolve();
  };
  const watching = method.handle({ requests, signal: gone.signal, write });
  await told.promise;
  await nextTurn();
  assert.equal(listeners(), 1);
  gone.abort();
  await watching;
  assert.equal(listeners(), 0);
});

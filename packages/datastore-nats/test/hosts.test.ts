import type { TestContext } from "node:test";
import { FaultProxy, hostsConformance } from "@k3s/testkit";
import { openNatsDriver } from "../src/index.ts";
import { quietLog, startNats } from "./support/nats-fixture.ts";

/** An endpoint with two servers, which are two ways to one. */
async function twoWays(t: TestContext) {
  const server = await startNats(t);
  const way = async () => {
    const proxy = await FaultProxy.start({ target: { port: server.port } });
    t.after(() => proxy.stop());
    return proxy;
  };
  const ways = [await way(), await way()] as const;
  const endpoint = `nats://${ways.map(({ port }) => `127.0.0.1:${port}`).join()}`;
  return { ways, open: () => openNatsDriver({ endpoint, log: quietLog(), signal: t.signal }) };
}

hostsConformance("servers of a NATS endpoint", { twoWays, begins: "with any", connections: 1, hasGaps: true });

import type { TestContext } from "node:test";
import { FaultProxy, hostsConformance } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

/** An endpoint with two hosts, which are two ways to one server. */
async function twoWays(t: TestContext, parameters: string) {
  const way = async () => {
    const proxy = await FaultProxy.start({ target: { port: database.server.port } });
    t.after(() => proxy.stop());
    return proxy;
  };
  const ways = [await way(), await way()] as const;
  const hosts = ways.map(({ port }) => `127.0.0.1:${port}`).join();
  const dsn = `postgres://postgres@${hosts}/${database.newName()}?connect_timeout=1${parameters}`;
  return { ways, open: () => database.open(t, { dsn }) };
}

hostsConformance("hosts of a PostgreSQL endpoint", {
  twoWays: (t) => twoWays(t, ""),
  openings: ["", "&sslmode=disable&target_session_attrs=prefer-standby"].map((parameters) => ({
    name: `the first does not answer (connect_timeout=1${parameters})`,
    end: (way) => way.stall(),
    twoWays: (t) => twoWays(t, parameters),
  })),
  begins: "with the first",
});

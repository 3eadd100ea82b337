import assert from "node:assert/strict";
import { readFile, rm, stat } from "node:fs/promises";
import { describe, test, type TestContext } from "node:test";
import { agentPaths } from "@k3s/pki";
import { until } from "@k3s/testkit";
import { Membership } from "../src/membership.ts";
import { startCluster, type Cluster } from "./support/cluster.ts";

function membershipOf(t: TestContext, { config, url: server, log }: Cluster): Membership {
  const membership = new Membership({ config, server, log });
  t.after(() => membership.stop());
  return membership;
}

const limit = () => AbortSignal.timeout(60_000);
const says = ({ lines }: Cluster, what: string) =>
  until(`it says: ${what}`, () => Promise.resolve(lines.some((line) => line.includes(what))));

describe("Membership", { concurrency: true }, () => {
  test("goes on with what is on disk when no server answers, and renews that once one does", async (t) => {
    const cluster = await startCluster(t);
    const settings = await membershipOf(t, cluster).join(limit());
    const { cert } = agentPaths(cluster.config.paths.agentDir).clientKubelet;
    const before = await readFile(cert, "utf8");
    await cluster.stop();
    assert.deepEqual(await membershipOf(t, cluster).join(limit()), settings);
    await says(cluster, "goes on with what its last start left on disk");
    assert.equal(await readFile(cert, "utf8"), before);
    await cluster.start();
    await says(cluster, "a server answers again: certificates are renewed");
    assert.notEqual(await readFile(cert, "utf8"), before);
  });

  test("waits for a server when something is missing on disk", async (t) => {
    const cluster = await startCluster(t);
    await membershipOf(t, cluster).join(limit());
    const { key } = agentPaths(cluster.config.paths.agentDir).clientKubeProxy;
    await rm(key);
    await cluster.stop();
    const joining = membershipOf(t, cluster).join(limit());
    await says(cluster, "waiting for a server of the cluster");
    await assert.rejects(stat(key), { code: "ENOENT" });
    await cluster.start();
    await joining;
    await stat(key);
  });

  test("stops waiting when it is told to", async (t) => {
    const cluster = await startCluster(t);
    await cluster.stop();
    const starting = new AbortController();
    const membership = membershipOf(t, cluster);
    const joining = membership.join(starting.signal);
    await says(cluster, "waiting for a server of the cluster");
    starting.abort(new Error("it is being stopped"));
    await assert.rejects(joining, /it is being stopped/);
    await membership.stop();
  });
});

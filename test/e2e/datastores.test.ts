import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { sleep } from "@k3s/async";
import { K3sServer, TestHost, TestNetwork, until } from "@k3s/testkit";
import { AcknowledgedWrites } from "./acknowledged-writes.ts";
import { CLUSTER_DATABASES, type ClusterDatabase } from "./cluster-databases.ts";

const WORKLOAD = join(import.meta.dirname, "workload.yaml");
const SECONDS = 1_000;
const STOPPED_MS = 20 * SECONDS;
const FROZEN_MS = 10 * SECONDS;

/** What may not change while the database is away: the pods' names, starts and restarts. */
const POD_IDENTITY = `jsonpath={range .items[*]}{.metadata.name} {.status.startTime} {.status.containerStatuses[0].state.running.startedAt} {.status.containerStatuses[0].restartCount}{"\\n"}{end}`;
const KINDS = "nodes,namespaces,configmaps,secrets,serviceaccounts,deployments,replicasets,pods,services,clusterroles";
const UIDS = `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid}{"\\n"}{end}`;

for (const [name, startDatabase] of Object.entries(CLUSTER_DATABASES)) {
  describe(`a cluster on ${name}`, { timeout: 10 * 60 * SECONDS }, () => {
    const undo = new AsyncDisposableStack();
    let network: TestNetwork;
    let database: ClusterDatabase;
    let cluster: K3sServer;
    let identity = "";

    const pods = () => cluster.kubectl("get", "pods", "-l", "app=web", "--sort-by=.metadata.name", "-o", POD_IDENTITY);
    const apiserver = async () => (await cluster.children()).get("kube-apiserver");
    const objects = async () => (await cluster.kubectl("get", KINDS, "-A", "-o", UIDS)).trim().split("\n");

    before(async () => {
      const folder = await mkdtemp(join(tmpdir(), "k3s-e2e-database-"));
      undo.defer(() => rm(folder, { recursive: true, force: true }));
      network = undo.use(await TestNetwork.create());
      const host = undo.use(await TestHost.create({ name: "one", address: "10.99.0.11", network }));
      database = await startDatabase({ folder, network: host.namespace, address: host.address, undo });
      cluster = new K3sServer(host);
      await cluster.provideImages();
    });
    after(async () => {
      (await import("node:fs")).writeFileSync(`/tmp/e2edb/log-${name}`, cluster.log);
      await undo.disposeAsync();
    });

    /** Lets the database be away for a time, with writes going on. Everything has to be as if it had not been. */
    async function survives(outage: { begin: () => unknown; end: () => unknown; ms: number }): Promise<number> {
      const [pid, known] = [await apiserver(), await objects()];
      const writes = new AcknowledgedWrites(cluster);
      await until("writes are served", () => Promise.resolve(writes.names.length > 2));
      await outage.begin();
      await sleep(outage.ms);
      await outage.end();
      const answeredAt = performance.now();
      await until("a write is served again", () => cluster.kubectl("create", "configmap", `after-${outage.ms}`));
      const servedAfterMs = performance.now() - answeredAt;
      await writes.stop();
      const found = await objects();
      assert.equal(await apiserver(), pid, "kube-apiserver is another process");
      assert.deepEqual(
        known.filter((object) => !found.includes(object)),
        [],
      );
      assert.deepEqual(
        writes.names.filter((written) => !found.some((object) => object.startsWith(`ConfigMap/${written} `))),
        [],
      );
      assert.equal(await pods(), identity);
      return servedAfterMs;
    }

    test("becomes Ready", async () => {
      cluster.start(...database.args);
      await cluster.untilReady();
      assert.equal((await cluster.children()).size, 6);
    });

    test("runs pods behind a service, and shows their logs", async () => {
      await until("there is a service account", () => cluster.kubectl("get", "serviceaccount", "default"));
      await cluster.kubectl("apply", "-f", WORKLOAD);
      await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=55s");
      identity = await pods();
      const names = identity.split("\n").flatMap((line) => (line === "" ? [] : [line.split(" ")[0] ?? ""]));
      assert.equal(names.length, 2);
      const address = await cluster.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}");
      await until("the service answers", async () =>
        names.includes((await cluster.host.run("curl", "-sfm", "2", `http://${address}/`)).trim()),
      );
      for (const pod of names) assert.equal((await cluster.kubectl("logs", pod)).trim(), `serving ${pod}`);
    });

    test("goes on when the database was stopped", async (t) => {
      const ms = await survives({ begin: () => database.stop(), end: () => database.restart(), ms: STOPPED_MS });
      t.diagnostic(`a write was served ${ms.toFixed(0)} ms after the database answered`);
    });

    test("goes on when the database was frozen", async (t) => {
      const ms = await survives({ begin: () => database.freeze(), end: () => database.thaw(), ms: FROZEN_MS });
      t.diagnostic(`a write was served ${ms.toFixed(0)} ms after the database answered`);
    });

    test("a server that was killed comes back with every object, and no pod notices", async () => {
      const known = await objects();
      const [supervisor] = await cluster.supervisors();
      await cluster.host.run("kill", "-9", String(supervisor));
      await until("no supervised process is left", async () => (await cluster.children()).size === 0);
      cluster.start(...database.args);
      await cluster.untilReady();
      const found = await objects();
      assert.deepEqual(
        known.filter((object) => !found.includes(object)),
        [],
      );
      assert.equal(await pods(), identity);
    });
  });
}

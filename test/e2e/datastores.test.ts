import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { sleep } from "@k3s/async";
import { K3sServer, TestHost, TestNetwork, until } from "@k3s/testkit";
import { AcknowledgedWrites } from "./acknowledged-writes.ts";
import { CLUSTER_DATABASES, serverArguments, toolArguments, type ClusterDatabase } from "./cluster-databases.ts";

const WORKLOAD = join(import.meta.dirname, "workload.yaml");
const SECONDS = 1_000;
const STOPPED_MS = 20 * SECONDS;
/** Longer than any request waits for the database. */
const FROZEN_MS = 10 * SECONDS;
/** What the node may say while its database is away, dying components included. */
const LOG_LINES_MAX = 1000;

/** What may not change while the database is away: the pods' names, starts and restarts. */
const POD_IDENTITY = `jsonpath={range .items[*]}{.metadata.name} {.status.startTime} {.status.containerStatuses[0].state.running.startedAt} {.status.containerStatuses[0].restartCount}{"\\n"}{end}`;
const KINDS = "nodes,namespaces,configmaps,secrets,serviceaccounts,deployments,replicasets,pods,services,clusterroles";
const UIDS = `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid}{"\\n"}{end}`;
const CA = "/var/lib/rancher/k3s/server/tls/server-ca.crt";
const TOKEN = "/var/lib/rancher/k3s/server/token";

interface Outage {
  readonly begin: () => unknown;
  readonly end: () => unknown;
  readonly ms: number;
  /** Something to look at while it lasts. */
  readonly meanwhile?: () => Promise<void>;
}

/** Objects as `Kind/name uid`. */
async function objectsOf(cluster: K3sServer): Promise<readonly string[]> {
  return (await cluster.kubectl("get", KINDS, "-A", "-o", UIDS)).trim().split("\n");
}

function assertNothingLost(known: readonly string[], found: readonly string[]): void {
  assert.deepEqual(
    known.filter((object) => !found.includes(object)),
    [],
  );
}

/** The node's own lines about its datastore, and how much was logged in all. */
function readLog(text: string) {
  const lines = text.split("\n");
  const own = lines.filter((line) => /(WARN|ERROR) +(datastore|external-etcd): /.test(line));
  return { total: lines.length, own, cures: own.filter((line) => / hint=/.test(line)) };
}

for (const [name, startDatabase] of Object.entries(CLUSTER_DATABASES)) {
  describe(`a cluster on ${name}`, { timeout: 10 * 60 * SECONDS }, () => {
    const undo = new AsyncDisposableStack();
    let network: TestNetwork;
    let database: ClusterDatabase;
    let cluster: K3sServer;
    let identity = "";

    const pods = () => cluster.kubectl("get", "pods", "-l", "app=web", "--sort-by=.metadata.name", "-o", POD_IDENTITY);
    const apiserver = async () => (await cluster.children()).get("kube-apiserver");
    const status = () => cluster.host.run(cluster.file, "datastore", "status", ...toolArguments(database));

    before(async () => {
      const folder = await mkdtemp(join(tmpdir(), "k3s-e2e-database-"));
      undo.defer(() => rm(folder, { recursive: true, force: true }));
      network = undo.use(await TestNetwork.create());
      const host = undo.use(await TestHost.create({ name: "one", address: "10.99.0.11", network }));
      database = await startDatabase({ folder, network: host.namespace, address: host.address, undo });
      cluster = new K3sServer(host);
      await cluster.provideImages();
    });
    after(() => undo.disposeAsync());

    /** Lets the database be away for a time, with writes going on. Everything has to be as if it had not been; tells how long a write took. */
    async function survive({ begin, end, ms, meanwhile }: Outage): Promise<string> {
      const [pid, known] = [await apiserver(), await objectsOf(cluster)];
      const writes = new AcknowledgedWrites(cluster);
      await until("writes are served", () => Promise.resolve(writes.names.length > 2));
      const logStart = cluster.log.length;
      await begin();
      await Promise.all([sleep(ms), meanwhile?.()]);
      await end();
      const answeredAt = performance.now();
      let attempt = 0;
      const write = () => cluster.kubectl("create", "configmap", `after-${ms}-${attempt++}`, "--request-timeout=5s");
      await until("a write is served again", write);
      const servedAfterMs = performance.now() - answeredAt;
      const said = readLog(cluster.log.slice(logStart));
      await writes.stop();
      const found = await objectsOf(cluster);
      assert.equal(await apiserver(), pid, "kube-apiserver is another process");
      assertNothingLost(known, found);
      const lost = writes.names.filter(
        (written) => !found.some((object) => object.startsWith(`ConfigMap/${written} `)),
      );
      assert.deepEqual(lost, []);
      assert.equal(await pods(), identity);
      assert.ok(said.total < LOG_LINES_MAX, `${said.total} lines were logged`);
      assert.ok(said.own.length <= 6, said.own.join("\n"));
      assert.ok(said.cures.length > 0, said.own.join("\n"));
      return `a write was served ${servedAfterMs.toFixed(0)} ms after the database answered; ${said.total} lines were logged`;
    }

    test("becomes Ready", async () => {
      cluster.start(...serverArguments(database));
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

    test("k3s datastore status tells how the database is", async () => {
      const text = await status();
      assert.match(text, /^ *keys:? +\d{3,}/im);
      assert.doesNotMatch(text, /p:a\/s@s/);
    });

    test("goes on when the database was stopped", async (t) => {
      const meanwhile = () => assert.rejects(status(), /ERR_(DATASTORE|ETCD|NATS|MYSQL|POSTGRES)_UNREACHABLE/);
      const { stop: begin, restart: end } = database;
      t.diagnostic(await survive({ begin, end, ms: STOPPED_MS, meanwhile }));
    });

    test("goes on when the database was frozen", async (t) => {
      const { freeze: begin, thaw: end } = database;
      t.diagnostic(await survive({ begin, end, ms: FROZEN_MS }));
    });

    test("a server that was killed comes back with every object, and no pod notices", async () => {
      const known = await objectsOf(cluster);
      const [supervisor] = await cluster.supervisors();
      await cluster.host.run("kill", "-9", String(supervisor));
      await until("no supervised process is left", async () => (await cluster.children()).size === 0);
      cluster.start(...serverArguments(database));
      await cluster.untilReady();
      assertNothingLost(known, await objectsOf(cluster));
      assert.equal(await pods(), identity);
    });

    if (name === "MariaDB")
      test("another server needs nothing but the endpoint and the token to go on in its place", async () => {
        const known = await objectsOf(cluster);
        assert.equal(await cluster.stop(), 0);
        const host = undo.use(await TestHost.create({ name: "two", address: "10.99.0.12", network }));
        const second = new K3sServer(host);
        await second.provideImages();
        const token = (await readFile(cluster.host.outside(TOKEN), "utf8")).trim();
        second.start(...serverArguments(database), `--token=${token}`);
        await second.untilReady("two");
        assertNothingLost(known, await objectsOf(second));
        assert.equal(await readFile(host.outside(CA), "utf8"), await readFile(cluster.host.outside(CA), "utf8"));
      });
  });
}

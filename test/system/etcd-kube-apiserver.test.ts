import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { TransportName } from "@k3s/etcd-api";
import { KubeApiserver, until } from "@k3s/testkit";
import { startEtcdApi, TRANSPORTS } from "./etcd-api-on-endpoint.ts";

const NAMESPACE = "/api/v1/namespaces/scale";
const CONFIG_MAPS = `${NAMESPACE}/configmaps`;
const TOTAL = 500;
const PARALLEL = 20;

interface KubeObject {
  readonly metadata: { readonly name: string; readonly resourceVersion: string };
}

interface KubeList {
  readonly metadata: {
    readonly continue?: string;
    readonly remainingItemCount?: number;
    readonly resourceVersion: string;
  };
  readonly items: readonly KubeObject[];
}

function configMap(name: string, text: string) {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { text } };
}

const apiserverOver = (transport: TransportName) => () => {
  const undo = new AsyncDisposableStack();
  after(() => undo.disposeAsync());
  let kube: KubeApiserver;

  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), "k3s-etcd-kube-"));
    undo.defer(() => rm(folder, { recursive: true, force: true }));
    undo.use(await startEtcdApi(folder, { transport }));
    kube = await KubeApiserver.start({
      folder,
      etcdServers: "unix://kine.sock",
      args: ["--etcd-compaction-interval=2s", "--feature-gates=EfficientWatchResumption=true"],
    });
    undo.defer(() => kube.stop());
  });

  async function call<T>(method: string, path: string, object?: unknown): Promise<T> {
    const { status, body } = await kube.request(method, path, object);
    assert.ok(status >= 200 && status < 300, `${method} ${path}: ${status} ${body}`);
    return JSON.parse(body) as T;
  }

  test("becomes ready and makes its own namespaces", async () => {
    assert.equal((await kube.request("GET", "/readyz/etcd")).status, 200);
    const names = await until("the namespaces are there", async () => {
      const { items } = await call<KubeList>("GET", "/api/v1/namespaces");
      return items.length >= 4 && items.map(({ metadata }) => metadata.name).toSorted();
    });
    assert.deepEqual(names, ["default", "kube-node-lease", "kube-public", "kube-system"]);
  });

  test("creates objects, refuses to create them twice, and lists them in pages of one revision", async () => {
    await call("POST", "/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: "scale" } });
    await inParallel(TOTAL, (i) => call("POST", CONFIG_MAPS, configMap(nameOf(i), "first")));
    assert.equal((await kube.request("POST", CONFIG_MAPS, configMap(nameOf(0), "again"))).status, 409);

    const names: string[] = [];
    const revisions = new Set<string>();
    let next = "";
    do {
      const page = await call<KubeList>("GET", `${CONFIG_MAPS}?limit=120&continue=${encodeURIComponent(next)}`);
      names.push(...page.items.map(({ metadata }) => metadata.name));
      revisions.add(page.metadata.resourceVersion);
      assert.equal(page.metadata.remainingItemCount ?? 0, TOTAL - names.length);
      next = page.metadata.continue ?? "";
    } while (next !== "");
    assert.deepEqual(
      names,
      Array.from({ length: TOTAL }, (_, i) => nameOf(i)),
    );
    assert.equal(revisions.size, 1);
  });

  test("watches changes from a revision, whole and in order", async (t) => {
    const { metadata } = await call<KubeList>("GET", `${CONFIG_MAPS}?limit=1`);
    const stop = new AbortController();
    t.after(() => stop.abort());
    const path = `${CONFIG_MAPS}?watch=1&resourceVersion=${metadata.resourceVersion}`;
    const events = kube.lines(path, stop.signal);
    await call("PUT", `${CONFIG_MAPS}/${nameOf(3)}`, configMap(nameOf(3), "second"));
    await call("DELETE", `${CONFIG_MAPS}/${nameOf(4)}`);
    await call("POST", CONFIG_MAPS, configMap("new", "third"));
    const seen: string[] = [];
    for await (const line of events) {
      const { type, object } = JSON.parse(line) as { readonly type: string; readonly object: KubeObject };
      if (!object.metadata.name.startsWith("kube-root-ca")) seen.push(`${type} ${object.metadata.name}`);
      if (seen.length === 3) break;
    }
    assert.deepEqual(seen, [`MODIFIED ${nameOf(3)}`, `DELETED ${nameOf(4)}`, "ADDED new"]);
  });

  test("refuses an update that missed another one", async () => {
    const path = `${CONFIG_MAPS}/${nameOf(5)}`;
    const seen = await call<KubeObject>("GET", path);
    await call("PUT", path, configMap(nameOf(5), "second"));
    const { name, resourceVersion } = seen.metadata;
    const late = { ...configMap(name, "third"), metadata: { name, resourceVersion } };
    assert.equal((await kube.request("PUT", path, late)).status, 409);
  });

  test("compacts the store, goes on, and tells readers of old pages to start again", async () => {
    const first = await call<KubeList>("GET", `${CONFIG_MAPS}?limit=10`);
    const path = `${CONFIG_MAPS}?limit=10&continue=${encodeURIComponent(first.metadata.continue ?? "")}`;
    let writes = 0;
    const answer = await until("the page's revision is compacted", async () => {
      await call("PUT", `${CONFIG_MAPS}/${nameOf(6)}`, configMap(nameOf(6), String(writes++)));
      const page = await kube.request("GET", path);
      return page.status === 410 && page.body;
    });
    assert.match(answer, /Expired/);
    assert.equal((await call<KubeList>("GET", CONFIG_MAPS)).items.length, TOTAL);
    assert.equal((await kube.request("GET", "/readyz")).status, 200);
  });

  test("deletes a collection", async () => {
    await call("DELETE", CONFIG_MAPS);
    assert.deepEqual((await call<KubeList>("GET", CONFIG_MAPS)).items, []);
  });
};

for (const transport of TRANSPORTS)
  describe(`kube-apiserver on the store, over ${transport}`, apiserverOver(transport));

function nameOf(i: number): string {
  return `cm-${String(i).padStart(3, "0")}`;
}

async function inParallel(total: number, task: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < total) await task(next++);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

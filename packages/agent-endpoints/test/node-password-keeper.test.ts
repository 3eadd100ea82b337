import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, test, type TestContext } from "node:test";
import { nextTurn } from "@k3s/async";
import { ApiError, type KubeClient } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";
import { NodePasswordKeeper } from "../src/index.ts";

const SECRETS = "/api/v1/namespaces/kube-system/secrets";
const notFound = () => ApiError.fromBody(404, "{}");

interface Metadata {
  readonly name: string;
  readonly uid: string;
  readonly creationTimestamp: string;
  readonly ownerReferences?: readonly object[];
}

const born = (minutesAgo: number) => new Date(Date.now() - minutesAgo * 60_000).toISOString();
const secretOf = (node: string, minutesAgo: number): Metadata => {
  return { name: `${node}.node-password.k3s`, uid: `secret-of-${node}`, creationTimestamp: born(minutesAgo) };
};

/** As much of kube-apiserver as there is to nodes and the Secrets of their passwords; nobody collects what has lost its owner. */
class Cluster {
  readonly secrets = new Map<string, Metadata>();
  readonly nodes = new Map<string, string>();
  readonly #events = new PassThrough();
  /** How often the Secrets were listed. */
  sweeps = 0;
  beforeDelete: () => void = () => undefined;

  putSecret(metadata: Metadata): void {
    this.secrets.set(`${SECRETS}/${metadata.name}`, metadata);
  }

  addNode(name: string): void {
    this.nodes.set(name, `node-${name}`);
    this.#events.write(`${JSON.stringify({ type: "ADDED", object: this.#nodeOf(name) })}\n`);
  }

  names(): readonly string[] {
    return [...this.secrets.values()].map(({ name }) => name.split(".")[0] ?? "").sort();
  }

  ownersOf(node: string): readonly object[] | undefined {
    return this.secrets.get(`${SECRETS}/${node}.node-password.k3s`)?.ownerReferences;
  }

  client(): KubeClient {
    const client = {
      get: (path: string) => new Promise((resolve) => resolve(this.#get(path))),
      stream: (_path: string, signal: AbortSignal) => {
        signal.addEventListener("abort", () => this.#events.end());
        return Promise.resolve(this.#events);
      },
      patch: (path: string, { body }: { readonly body: { readonly metadata: object } }) => {
        const found = this.secrets.get(path);
        if (found === undefined) return Promise.reject(notFound());
        this.secrets.set(path, { ...found, ...body.metadata });
        return Promise.resolve({});
      },
      delete: (path: string, _signal: AbortSignal, uid: string) => {
        this.beforeDelete();
        if (this.secrets.get(path)?.uid !== uid) return Promise.reject(ApiError.fromBody(409, "{}"));
        this.secrets.delete(path);
        return Promise.resolve({});
      },
    };
    return client as unknown as KubeClient; // sound: nothing else of the client is used
  }

  #get(path: string): object {
    if (path === "/api/v1/nodes")
      return { items: [...this.nodes.keys()].map((name) => this.#nodeOf(name)), metadata: { resourceVersion: "1" } };
    if (path.startsWith(`${SECRETS}?fieldSelector=type%3Dk3s.cattle.io%2Fnode-password`)) {
      this.sweeps += 1;
      return { items: [...this.secrets.values()].map((metadata) => ({ metadata })) };
    }
    const metadata = this.secrets.get(path);
    if (metadata === undefined) throw notFound();
    return { metadata };
  }

  #nodeOf(name: string): object {
    return { metadata: { name, uid: this.nodes.get(name) } };
  }
}

async function keep(t: TestContext, cluster: Cluster): Promise<{ readonly lines: readonly string[] }> {
  const lines: string[] = [];
  const log = createLogger({ level: "warn", format: "json", write: (line) => lines.push(line) });
  const client = cluster.client();
  const keeper = new NodePasswordKeeper({ client: () => client, sweepMs: 5, log });
  await keeper.start();
  t.after(() => keeper.stop());
  return { lines };
}

async function untilTrue(isIt: () => boolean): Promise<void> {
  while (!isIt()) await nextTurn();
}

describe("NodePasswordKeeper", () => {
  test("ties the password to the node, so that it goes with it", async (t) => {
    const cluster = new Cluster();
    cluster.putSecret(secretOf("there", 1));
    cluster.putSecret(secretOf("comes", 1));
    cluster.addNode("there");
    cluster.addNode("without-password");
    await keep(t, cluster);
    await untilTrue(() => cluster.ownersOf("there") !== undefined);
    assert.deepEqual(cluster.ownersOf("there"), [{ apiVersion: "v1", kind: "Node", name: "there", uid: "node-there" }]);
    assert.equal(cluster.ownersOf("comes"), undefined);
    cluster.addNode("comes");
    await untilTrue(() => cluster.ownersOf("comes") !== undefined);
  });

  test("a node that was made anew owns its password as well", async (t) => {
    const cluster = new Cluster();
    const gone = { apiVersion: "v1", kind: "Node", name: "again", uid: "of-old" };
    cluster.putSecret({ ...secretOf("again", 1), ownerReferences: [gone] });
    cluster.addNode("again");
    await keep(t, cluster);
    await untilTrue(() => JSON.stringify(cluster.ownersOf("again")).includes("node-again"));
  });

  test("removes passwords of nodes that did not come within ten minutes, and no others", async (t) => {
    const cluster = new Cluster();
    for (const [node, minutesAgo] of [
      ["member", 600],
      ["never-came", 11],
      ["still-coming", 9],
    ] as const)
      cluster.putSecret(secretOf(node, minutesAgo));
    cluster.addNode("member");
    await keep(t, cluster);
    await untilTrue(() => !cluster.names().includes("never-came"));
    const { sweeps } = cluster;
    await untilTrue(() => cluster.sweeps > sweeps + 1);
    assert.deepEqual(cluster.names(), ["member", "still-coming"]);
  });

  test("does not remove one that was made meanwhile under the same name", async (t) => {
    const cluster = new Cluster();
    cluster.putSecret(secretOf("again", 11));
    cluster.beforeDelete = () => cluster.putSecret({ ...secretOf("again", 0), uid: "another" });
    const { lines } = await keep(t, cluster);
    await untilTrue(() => cluster.sweeps > 2);
    assert.deepEqual(cluster.names(), ["again"]);
    assert.deepEqual(lines, []);
  });
});

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { K3sServer, TestHost, TestNetwork, until } from "@k3s/testkit";

const SECONDS = 1_000;
const IMAGE = "docker.io/library/busybox:local";
/** Serves the pod's name, and says on its standard error who asked. */
const WEB = "mkdir -p /tmp/www && hostname > /tmp/www/index.html && exec httpd -f -v -p 8080 -h /tmp/www";

/** A pod that is tied to a node, as JSON for `kubectl apply`. */
function pod(name: string, nodeName: string): object {
  const container = { name: "web", image: IMAGE, imagePullPolicy: "Never", command: ["sh", "-c", WEB] };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: name } },
    spec: { nodeName, containers: [container], terminationGracePeriodSeconds: 0 },
  };
}

function service(name: string): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name },
    spec: { selector: { app: name }, ports: [{ port: 80, targetPort: 8080 }] },
  };
}

describe("pods of two nodes", { timeout: 5 * 60 * SECONDS }, () => {
  const undo = new AsyncDisposableStack();
  let server: K3sServer;
  let one: TestHost;
  let two: TestHost;
  let token = "";
  let agentLog = "";

  const startAgent = () => {
    agentLog = "";
    const args = ["agent", "--server", `https://${one.address}:6443`, "--token", token];
    const agent = two.spawn(server.file, args, { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [agent.stdout, agent.stderr])
      stream?.on("data", (chunk: Buffer) => (agentLog = (agentLog + chunk.toString()).slice(-20_000)));
  };
  const stopAgent = async () => {
    for (const { pid } of await agents()) await two.run("kill", String(pid));
    await until("the agent is gone", async () => (await agents()).length === 0, 40 * SECONDS);
  };
  const agents = async () => (await two.processes()).filter(({ commandLine }) => commandLine[0] === "k3s agent");

  const get = async (what: string, path: string) =>
    await server.kubectl("get", ...what.split(" "), "-o", `jsonpath=${path}`);
  const podIp = (name: string) => get(`pod ${name}`, "{.status.podIP}");
  const ask = (from: string, address: string) =>
    server.kubectl("exec", from, "--", "busybox", "timeout", "3", "wget", "-qO-", `http://${address}/`);
  const answers = async (what: string, question: () => Promise<string>, expected: string) => {
    await until(what, async () => (await question()).trim() === expected, 30 * SECONDS);
  };

  before(async () => {
    const network = undo.use(await TestNetwork.create());
    one = undo.use(await TestHost.create({ name: "one", address: "10.99.0.11", network }));
    two = undo.use(await TestHost.create({ name: "two", address: "10.99.0.12", network }));
    server = new K3sServer(one);
    await server.provideImages();
    await new K3sServer(two).provideImages();
    server.start();
    await server.untilReady();
    token = (await readFile(one.outside("/var/lib/rancher/k3s/server/node-token"), "utf8")).trim();
    startAgent();
  });
  after(() => undo.disposeAsync());

  test("the agent's node becomes a member of the pod network", async () => {
    const type = `{range .items[*].status.conditions[?(@.type=="Ready")]}{.status}{end}`;
    await until("two nodes are Ready", async () => (await get("nodes", type)) === "TrueTrue", 60 * SECONDS).catch(
      (error: unknown) => {
        throw new Error(`The agent did not join; end of its log:\n${agentLog}`, { cause: error });
      },
    );
    for (const [name, address] of [
      ["one", one.address],
      ["two", two.address],
    ] as const) {
      const annotations = await until(`node ${name} has told of itself`, async () => {
        const text = await get(`node ${name}`, "{.metadata.annotations}");
        return text.includes("kube-subnet-manager") ? (JSON.parse(text) as Record<string, string>) : undefined;
      });
      const flannel = (key: string) => annotations[`flannel.alpha.coreos.com/${key}`];
      assert.deepEqual(
        [flannel("backend-type"), flannel("public-ip"), flannel("kube-subnet-manager")],
        ["vxlan", address, "true"],
      );
      assert.match(flannel("backend-data") ?? "", /^\{"VNI":1,"VtepMAC":"([0-9a-f]{2}:){5}[0-9a-f]{2}"\}$/);
    }
  });

  test("a pod reaches a pod of the other node, both ways, and is seen with its own address", async () => {
    await until("there is a service account", () => server.kubectl("get", "serviceaccount", "default"));
    const objects = [pod("near", "one"), pod("far", "two"), service("far"), service("near")];
    const file = one.outside("/var/lib/pods.json");
    await writeFile(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }));
    await server.kubectl("apply", "-f", "/var/lib/pods.json");
    await server.kubectl("wait", "--for=condition=Ready", "pod/near", "pod/far", "--timeout=55s");
    const [near, far] = [await podIp("near"), await podIp("far")];
    assert.notEqual(near.split(".")[2], far.split(".")[2]);
    await answers("far answers near", () => ask("near", `${far}:8080`), "far");
    await answers("near answers far", () => ask("far", `${near}:8080`), "near");
    assert.match(await server.kubectl("logs", "far"), new RegExp(`${near.replaceAll(".", "[.]")}\\]?:\\d+`));
  });

  test("pods and hosts reach a service whose pod is on the other node", async () => {
    const [toFar, toNear] = [
      await get("service far", "{.spec.clusterIP}"),
      await get("service near", "{.spec.clusterIP}"),
    ];
    await answers("far answers near by its service", () => ask("near", toFar), "far");
    await answers("near answers far by its service", () => ask("far", toNear), "near");
    await answers("far answers host one", () => one.run("curl", "-sfm", "2", `http://${toFar}/`), "far");
    await answers("near answers host two", () => two.run("curl", "-sfm", "2", `http://${toNear}/`), "near");
  });

  test("the network comes back when its interface, routes and rules are removed", async () => {
    const far = await podIp("far");
    await one.run("ip", "link", "delete", "flannel.1");
    await two.run("ip", "route", "flush", "dev", "flannel.1");
    await answers("far answers near again", () => ask("near", `${far}:8080`), "far");
  });

  test("pods speak on while the agent is away, and after its return", async () => {
    const [near, far] = [await podIp("near"), await podIp("far")];
    const fetch = (from: string) => one.run("curl", "-sfm", "2", `http://${from}:8080/`);
    await stopAgent();
    await answers("far answers host one without an agent", () => fetch(far), "far");
    await answers("far answers near without an agent", () => ask("near", `${far}:8080`), "far");
    startAgent();
    await until("the agent is back", () => Promise.resolve(agentLog.includes("k3s agent is up")), 60 * SECONDS);
    await answers("near answers far", () => ask("far", `${near}:8080`), "near");
  });

  test("a node that is deleted leaves nothing behind on the others", async () => {
    await stopAgent();
    await server.kubectl("delete", "node", "two");
    const traces = async () =>
      (await one.run("ip", "route")) + (await one.run("ip", "neigh")) + (await one.run("bridge", "fdb"));
    await until(
      "no trace of it is left",
      async () => !/10[.]42[.]1[.]0|dst 10[.]99[.]0[.]12/.test(await traces()),
      30 * SECONDS,
    );
  });
});

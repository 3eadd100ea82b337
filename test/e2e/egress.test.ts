import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { DIST, K3sServer, TestHost, TestNetwork, until } from "@k3s/testkit";

const SECONDS = 1_000;
const LIMIT_MS = 120 * SECONDS;
const IMAGE = "docker.io/library/busybox:local";
const PORT = 8443;
/** Of the component set: a machine need not have one. */
const IPTABLES = join(DIST, "lib/components/bin/aux/iptables");
const WEBHOOK = fileURLToPath(new URL("admission-webhook.ts", import.meta.url));
const PROXY = `/api/v1/namespaces/default/services/https:hook:443/proxy/`;

/** The webhook in a pod of the pod network, with the programs of the host since the test image has none that serves TLS, and a pod of the host's network. */
function objects(certificate: string): readonly object[] {
  const webhook = [process.execPath, WEBHOOK, "/var/lib/hook", String(PORT)];
  const container = {
    name: "hook",
    image: IMAGE,
    imagePullPolicy: "Never",
    command: ["busybox", "chroot", "/host", ...webhook],
    volumeMounts: [{ name: "host", mountPath: "/host" }],
    readinessProbe: { tcpSocket: { port: PORT }, periodSeconds: 1 },
  };
  const web = {
    ...{ name: "web", image: IMAGE, imagePullPolicy: "Never", ports: [{ containerPort: 8081 }] },
    command: ["sh", "-c", "echo hello > /www/index.html; exec httpd -f -p 8081 -h /www"],
  };
  const volumes = [{ name: "host", hostPath: { path: "/" } }];
  const rules = [{ apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"], operations: ["CREATE"] }];
  const service = { namespace: "default", name: "hook", path: "/", port: 443 };
  return [
    {
      ...{ apiVersion: "v1", kind: "Pod", metadata: { name: "hook", labels: { app: "hook" } } },
      spec: { containers: [container], volumes, terminationGracePeriodSeconds: 0 },
    },
    {
      ...{ apiVersion: "v1", kind: "Pod", metadata: { name: "open" } },
      spec: { hostNetwork: true, containers: [web], terminationGracePeriodSeconds: 0 },
    },
    {
      ...{ apiVersion: "v1", kind: "Service", metadata: { name: "hook" } },
      spec: { selector: { app: "hook" }, ports: [{ port: 443, targetPort: PORT }] },
    },
    {
      ...{ apiVersion: "admissionregistration.k8s.io/v1", kind: "ValidatingWebhookConfiguration" },
      metadata: { name: "hook" },
      webhooks: [
        {
          ...{ name: "hook.test.local", sideEffects: "None", admissionReviewVersions: ["v1"], timeoutSeconds: 5 },
          clientConfig: { service, caBundle: Buffer.from(certificate).toString("base64") },
          ...{ rules, objectSelector: { matchLabels: { looked: "at" } }, failurePolicy: "Fail" },
        },
      ],
    },
  ];
}

describe("a server without a node, and an agent nobody can connect to", { timeout: 10 * 60 * SECONDS }, () => {
  const undo = new AsyncDisposableStack();
  let server: K3sServer;
  let agent: K3sServer;
  let token = "";

  const start = (mode: string) => server.start("--disable-agent", `--egress-selector-mode=${mode}`);
  const joinCluster = () => agent.join("--server", `https://${server.host.address}:6443`, "--token", token);
  const explained = (error: unknown) => {
    const log = [server, agent].map((one) => `--- ${one.host.name}\n${one.log.slice(-8000)}`).join("\n");
    throw new Error(`${String(error)}\n${log}`, { cause: error });
  };
  const label = () =>
    server.kubectl("get", "node", "agt", "-o", String.raw`jsonpath={.metadata.labels.egress\.k3s\.io/cluster}`);
  const create = async (name: string, key: string) => {
    const metadata = { name, labels: { looked: "at" } };
    const text = JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata, data: { [key]: "" } });
    await writeFile(server.host.outside("/var/lib/object.json"), text);
    return await server.kubectl("create", "-f", "/var/lib/object.json");
  };
  const restart = async (mode: string) => {
    assert.equal(await agent.stop(), 0);
    assert.equal(await server.stop(), 0);
    start(mode);
    await until("the API answers", () => server.kubectl("get", "--raw=/readyz"), LIMIT_MS).catch(explained);
    joinCluster(); // not before: it would go on with the settings that it has on disk
    await server.untilReady("agt").catch(explained);
  };
  const untilReached = () =>
    until("the webhook answers", async () => (await server.kubectl("get", `--raw=${PROXY}`)) !== "", LIMIT_MS);

  before(async () => {
    const network = undo.use(await TestNetwork.create());
    const machine = async (name: string, address: string) =>
      new K3sServer(undo.use(await TestHost.create({ name, address, network })));
    server = await machine("srv", "10.99.0.11");
    agent = await machine("agt", "10.99.0.12");
    await agent.provideImages();
    // As behind NAT: only what it asks for itself comes in.
    const firewall = ["-i", "eth0", "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP"];
    for (const chain of ["INPUT", "FORWARD"]) await agent.host.run(IPTABLES, "-A", chain, ...firewall);
    start("cluster");
    await until("the API answers", () => server.kubectl("get", "--raw=/readyz"), LIMIT_MS).catch(explained);
    token = (await readFile(server.host.outside("/var/lib/rancher/k3s/server/node-token"), "utf8")).trim();
    joinCluster();
    await server.untilReady("agt").catch(explained);
  });
  after(() => undo.disposeAsync());

  test("mode cluster: a webhook whose pod runs on the agent is asked through the agent's tunnel", async () => {
    assert.equal(await label(), "true");
    const folder = "/var/lib/hook";
    const files = ["-keyout", `${folder}/tls.key`, "-out", `${folder}/tls.crt`];
    const subject = ["-subj", "/CN=hook", "-addext", "subjectAltName=DNS:hook.default.svc"];
    const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    await agent.host.run("mkdir", folder);
    await agent.host.run("openssl", "req", ...kind, ...files, ...subject);
    const items = objects(await readFile(agent.host.outside(`${folder}/tls.crt`), "utf8"));
    await writeFile(
      server.host.outside("/var/lib/hook.json"),
      JSON.stringify({ apiVersion: "v1", kind: "List", items }),
    );
    await until("there is a service account", () => server.kubectl("get", "serviceaccount", "default"));
    await server.kubectl("apply", "-f", "/var/lib/hook.json");
    await server.kubectl("wait", "--for=condition=Ready", "pod/hook", "--timeout=55s").catch(explained);
    await untilReached().catch(explained);
    await create("good", "ok");
    await assert.rejects(create("bad", "other"), /denied the request: it is not ok/);
  });

  test("mode pod: the agent opens the addresses of its pods, and an address without a pod costs no tunnel", async () => {
    await restart("pod");
    await untilReached().catch(explained);
    assert.equal(await label(), "true");
    // A pod whose node was away is ready again, and behind its service, some time after the node.
    await until("the service has its pod again", () => create("better", "ok"), LIMIT_MS).catch(explained);
    await assert.rejects(create("worse", "other"), /denied the request: it is not ok/);
    const open = "/api/v1/namespaces/default/pods/open:8081/proxy/";
    await until("the host's port is open", () => server.kubectl("get", `--raw=${open}`), LIMIT_MS).catch(explained);
    const ends = () => server.log.split("tunnel of node is closed").length;
    const before = ends();
    await assert.rejects(server.kubectl("get", `--raw=/api/v1/nodes/agt:9999/proxy/`));
    assert.equal(await server.kubectl("get", `--raw=${PROXY}`), "hello from the webhook");
    assert.equal(ends(), before);
  });

  test("mode agent: the node loses the label, and its tunnel carries nothing but the kubelet", async () => {
    await restart("agent");
    await until("the label is gone", async () => (await label()) === "", LIMIT_MS).catch(explained);
    await until("the kubelet is reached", () => server.kubectl("logs", "hook"), LIMIT_MS).catch(explained);
    await assert.rejects(server.kubectl("get", `--raw=${PROXY}`, "--request-timeout=5s"));
  });
});

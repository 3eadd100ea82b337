import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { K3sServer, TestHost, TestNetwork, until } from "@k3s/testkit";

const SECONDS = 1_000;
const LIMIT_MS = 120 * SECONDS;
/** Where containerd looks when nobody tells it. */
const CONF_DIR = "/etc/cni/net.d";
const CONF_LIST = JSON.stringify({
  cniVersion: "0.4.0",
  name: "own",
  plugins: [{ type: "bridge", bridge: "own0", ipam: { type: "host-local", subnet: "10.42.0.0/24" } }],
});

describe("a cluster with --flannel-backend=none", { timeout: 10 * 60 * SECONDS }, () => {
  const undo = new AsyncDisposableStack();
  let server: K3sServer;

  before(async () => {
    const network = undo.use(await TestNetwork.create());
    server = new K3sServer(undo.use(await TestHost.create({ name: "one", address: "10.99.0.11", network })));
    await server.provideImages();
  });
  after(() => undo.disposeAsync());

  const ofReady = (field: string) =>
    server.kubectl("get", "nodes", "-o", `jsonpath={.items[*].status.conditions[?(@.type=="Ready")].${field}}`);
  /** Interfaces and configurations of a pod network of the product. */
  const ownTraces = () =>
    server.host.run(
      "sh",
      "-c",
      "ls /sys/class/net | grep -E '^(flannel|cni)'; find /var/lib/rancher -name '*.conflist'; true",
    );

  test("leaves the pod network to the user: the node waits for one, and is Ready with it", async () => {
    server.start("--flannel-backend=none");
    await until("the node says what is missing", async () => /cni/i.test(await ofReady("message")), LIMIT_MS);
    assert.equal(await ofReady("status"), "False");
    assert.equal(await ownTraces(), "");
    await server.host.run("sh", "-c", `mkdir -p ${CONF_DIR} && echo '${CONF_LIST}' > ${CONF_DIR}/10-own.conflist`);
    await server.untilReady();
    assert.equal(await ownTraces(), "");
    assert.equal(await server.stop(), 0);
  });
});

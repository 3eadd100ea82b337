import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { dialRules } from "../src/dial-rules.ts";

const KUBELET = { kubeletPort: 10_250, kubeletHost: "127.0.0.1" };
const { signal } = new AbortController();

async function listen(t: TestContext, host: string): Promise<number> {
  const server = createServer((socket) => socket.on("error", () => undefined).end()).listen(0, host);
  t.after(() => server.close());
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

test("in the modes agent and disabled nothing but kubelet and container runtime is open", () => {
  const { authorize } = dialRules({ ...KUBELET, ranges: [] });
  const isOpen = (address: string) => authorize({ network: "tcp", address });
  assert.deepEqual(["127.0.0.1:10250", "[::1]:10250", "127.0.0.1:10010"].map(isOpen), [true, true, true]);
  assert.deepEqual(["127.0.0.1:22", "10.42.0.5:80", "10.99.0.1:10250"].map(isOpen), [false, false, false]);
});

test("in mode cluster every address of the ranges is open, and no other", () => {
  const { authorize } = dialRules({ ...KUBELET, ranges: ["10.42.0.0/16", "fd00::/64", "10.99.0.1/32"] });
  const isOpen = (address: string) => authorize({ network: "tcp", address });
  assert.deepEqual(["10.42.7.5:80", "[fd00::5]:80", "10.99.0.1:22"].map(isOpen), [true, true, true]);
  assert.deepEqual(["10.43.0.1:443", "10.99.0.2:22", "127.0.0.1:22"].map(isOpen), [false, false, false]);
});

test("in mode pod an address of the ranges without a pod fails that dial, and the tunnel stays", async (t) => {
  const port = await listen(t, "127.0.0.2");
  const known = new Set([`127.0.0.2:${port}`]);
  const pods = { has: (ip: string, at: number) => known.has(`${ip}:${at}`) };
  const { authorize, dial } = dialRules({ ...KUBELET, ranges: ["127.0.0.2/32"], pods });
  const target = { network: "tcp", address: `127.0.0.2:${port}` };
  assert.equal(authorize(target), true);
  (await dial(target, signal)).destroy();
  known.clear();
  assert.equal(authorize(target), true);
  await assert.rejects(dial(target, signal), {
    message: `Cannot dial 127.0.0.2:${port}: no pod of this node is there`,
  });
});

test("a dial to the loopback address and the kubelet's port goes to where the kubelet listens", async (t) => {
  const kubeletPort = await listen(t, "127.0.0.3");
  const { dial } = dialRules({ kubeletPort, kubeletHost: "127.0.0.3", ranges: [], pods: { has: () => false } });
  const connection = await dial({ network: "tcp", address: `127.0.0.1:${kubeletPort}` }, signal);
  connection.destroy();
});

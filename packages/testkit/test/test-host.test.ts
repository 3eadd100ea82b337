import assert from "node:assert/strict";
import { test } from "node:test";
import { TestHost } from "../src/test-host.ts";
import { TestNetwork } from "../src/test-network.ts";

test("a host shows its own interfaces, mounts and nodes, not those of the machine", async () => {
  await using network = await TestNetwork.create();
  await using host = await TestHost.create({ name: "one", address: "10.99.0.11", network });
  const lines = async (script: string) => (await host.run("sh", "-c", script)).split("\n").filter(Boolean);

  const links = await lines("ip -oneline link | cut -d : -f 2 | cut -d @ -f 1 | tr -d ' '");
  assert.deepEqual(await lines("ls /sys/class/net"), links.sort());
  const places = await lines("cut -d ' ' -f 5 /proc/self/mountinfo");
  const ours = ["/var/lib/kubelet", "/var/lib/rancher", "/run/k3s", "/run/netns"];
  assert.deepEqual(
    places.filter((place) => ours.some((folder) => place.startsWith(folder))),
    [],
  );
  assert.equal(places.filter((place) => place === "/sys").length, 1);
  assert.deepEqual(await lines("ls -d /etc/rancher /etc/cni 2>/dev/null; true"), []);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { freePort } from "@k3s/testkit";
import { Member } from "../src/member.ts";
import { goNetwork, startCluster } from "./support/cluster.ts";

test("Member becomes a node with the addresses that its cluster has a use for", async (t) => {
  const { config, behaviour, log } = await startCluster(t);
  const ranges = { ClusterIPRanges: [goNetwork("fd00:42::/56")], ServiceIPRanges: [goNetwork("fd00:43::/112")] };
  behaviour.document = { ...behaviour.document, ...ranges };
  const found = { ...config, nodeIp: ["10.0.0.2", "2001:db8::2"], lbServerPort: await freePort() };
  const member = new Member(found, log);
  t.after(() => member.balancer.stop(AbortSignal.abort()));
  await member.balancer.prepare();
  await member.balancer.start({ signal: t.signal, lost: () => assert.fail("lost") });
  const joined = await member.join(t.signal);
  t.after(() => Promise.all(joined.components.map((component) => component.stop(AbortSignal.abort()))));
  assert.deepEqual(joined.config.nodeIp, ["2001:db8::2"]);
  assert.equal(joined.config.loopbackAddress, "::1");
});

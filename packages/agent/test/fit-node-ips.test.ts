import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { loadAgentConfig, readHostFacts } from "@k3s/config";
import { AgentError } from "../src/errors.ts";
import { fitNodeIps } from "../src/fit-node-ips.ts";

const V4 = "10.0.0.2";
const V6 = "2001:db8::2";
const PODS = { 4: "10.42.0.0/16", 6: "fd00:42::/56" } as const;
const SERVICES = { 4: "10.43.0.0/16", 6: "fd00:43::/112" } as const;

type Families = readonly (4 | 6)[];

function ranges(families: Families, services: Families = families) {
  return {
    clusterCidrs: families.map((family) => PODS[family]),
    serviceCidrs: services.map((family) => SERVICES[family]),
  };
}

describe("fitNodeIps()", async () => {
  const host = { ...(await readHostFacts()), isRoot: true, addresses: { 4: V4 } };
  const env = { K3S_URL: "https://10.0.0.1:6443", K3S_TOKEN: "x", K3S_CONFIG_FILE: "/dev/null" };
  const signal = AbortSignal.timeout(10_000);
  const config = await loadAgentConfig({ flags: new Map(), unknownFlags: [], env, host, signal });
  const fitted = (nodeIp: readonly string[], isNodeIpGiven: boolean, cluster: ReturnType<typeof ranges>) => {
    const { nodeIp: ips, loopbackAddress } = fitNodeIps({ ...config, nodeIp, isNodeIpGiven }, cluster);
    return [ips, loopbackAddress];
  };

  test("keeps what was found of the cluster's families, in the cluster's order", () => {
    const found = [V4, V6];
    assert.deepEqual(fitted(found, false, ranges([4])), [[V4], "127.0.0.1"]);
    assert.deepEqual(fitted(found, false, ranges([6])), [[V6], "::1"]);
    assert.deepEqual(fitted(found, false, ranges([4, 6])), [[V4, V6], "127.0.0.1"]);
    assert.deepEqual(fitted(found, false, ranges([6, 4])), [[V6, V4], "::1"]);
  });

  test("keeps every address that was given, the cluster's first family first", () => {
    assert.deepEqual(fitted([V4, V6], true, ranges([6])), [[V6, V4], "::1"]);
    assert.deepEqual(fitted([V6, V4], true, ranges([4])), [[V4, V6], "127.0.0.1"]);
  });

  test("throws where a family of the cluster is missing", () => {
    const isOf = (node: string, cluster: string) => (error: unknown) =>
      error instanceof AgentError && error.message.endsWith(`they are ${node} and ${cluster}`);
    assert.throws(() => fitted([V4], true, ranges([6])), isOf("IPv4", "IPv6"));
    assert.throws(() => fitted([V4], false, ranges([4, 6])), isOf("IPv4", "IPv4+IPv6"));
    assert.throws(() => fitted([V6], false, ranges([4])), isOf("IPv6", "IPv4"));
  });

  test("throws where pods and services differ, but not for a server too old to name the services' ranges", () => {
    assert.throws(() => fitted([V4, V6], false, ranges([4, 6], [4])), /--service-cidr must be of the same families/);
    assert.throws(() => fitted([V4, V6], false, ranges([4], [6])), /they are IPv4 and IPv6$/);
    assert.deepEqual(fitted([V4], false, ranges([4], [])), [[V4], "127.0.0.1"]);
  });
});

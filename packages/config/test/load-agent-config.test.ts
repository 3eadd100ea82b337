import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { AgentConfig } from "../src/agent-config.ts";
import { ConfigError } from "../src/errors.ts";
import { loadAgentConfig } from "../src/load-agent-config.ts";
import { HOST, temporaryFolder, type Given } from "./fixtures.ts";

const JOIN = { server: "https://10.0.0.1:6443", token: "secret" };

async function load(given: Given): Promise<AgentConfig> {
  const flags = Object.entries(given.flags ?? {}).map(([name, texts]) => [name, [texts].flat()] as const);
  return await loadAgentConfig({
    flags: new Map(flags),
    unknownFlags: given.unknownFlags ?? [],
    env: { K3S_CONFIG_FILE: "/dev/null", ...given.env },
    host: { ...HOST, ...given.host },
    signal: AbortSignal.timeout(10_000),
  });
}

async function problemOf(given: Given): Promise<string> {
  const error = await load(given).then(
    () => assert.fail("it was accepted"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ConfigError);
  return error.message;
}

describe("loadAgentConfig()", () => {
  test("takes server and token from flags or variables, and completes the rest from the machine", async () => {
    const env = { K3S_URL: "https://10.0.0.1:6443/", K3S_TOKEN: "secret" };
    for (const given of [{ flags: JOIN }, { env }]) {
      const config = await load(given);
      assert.equal(config.server, "https://10.0.0.1:6443");
      assert.equal(config.token, "secret");
      assert.equal(config.nodeName, "box-1.example.org");
      assert.deepEqual(config.nodeIp, ["192.0.2.7"]);
      assert.equal(config.lbServerPort, 6444);
      assert.equal(config.enablePprof, false);
    }
  });

  test("takes an address of each family that the machine has, and tells those from given ones", async () => {
    const both = { addresses: { 4: "192.0.2.7", 6: "2001:db8::7" } };
    const found = await load({ flags: JOIN, host: both });
    assert.deepEqual([found.nodeIp, found.isNodeIpGiven], [["192.0.2.7", "2001:db8::7"], false]);
    const given = await load({ flags: { ...JOIN, "node-ip": "2001:db8::7" }, host: both });
    assert.deepEqual([given.nodeIp, given.isNodeIpGiven], [["2001:db8::7"], true]);
    const two = await problemOf({ flags: { ...JOIN, "node-ip": "192.0.2.7,192.0.2.8" } });
    assert.match(two, /--node-ip must have at most one entry per family/);
    assert.match(await problemOf({ flags: JOIN, host: { addresses: {} } }), /--node-ip must be given/);
  });

  test("takes a bootstrap token, and a token from a file", async (t) => {
    const file = join(await temporaryFolder(t), "token");
    await writeFile(file, "abcdef.0123456789abcdef\n");
    const config = await load({ flags: { server: JOIN.server, "token-file": file } });
    assert.equal(config.token, "abcdef.0123456789abcdef");
  });

  test("needs a token until a cluster was joined", async (t) => {
    const folder = await temporaryFolder(t);
    const flags = { server: JOIN.server, "data-dir": folder };
    assert.match(await problemOf({ flags }), /--token is required: this node has not joined a cluster yet/);
    await mkdir(join(folder, "agent"));
    await writeFile(join(folder, "agent/server-ca.crt"), "a certificate");
    assert.equal((await load({ flags })).token, undefined);
  });

  test("needs a server, with https", async () => {
    assert.match(await problemOf({ flags: { token: "x" } }), /--server is required/);
    const problem = await problemOf({ flags: { ...JOIN, server: "http://u:pw@10.0.0.1" } });
    assert.match(problem, /--server must be a URL like https:\/\/host:6443/);
    assert.doesNotMatch(problem, /pw/);
  });

  test("says that a flag of servers is one, and that its own help lists the others", async () => {
    const problem = await problemOf({ flags: JOIN, unknownFlags: ["--cluster-cidr"] });
    assert.match(problem, /--cluster-cidr is a flag of servers/);
  });

  test("reads the part that concerns it from a config file that serves a server as well", async (t) => {
    const file = join(await temporaryFolder(t), "config.yaml");
    await writeFile(file, "cluster-cidr: 10.52.0.0/16\nnode-label: [a=b]\nserver: https://10.0.0.9:6443\n");
    const config = await load({ flags: { token: "x" }, env: { K3S_CONFIG_FILE: file } });
    assert.deepEqual([config.server, config.nodeLabel], ["https://10.0.0.9:6443", [{ key: "a", value: "b" }]]);
    assert.match(config.warnings.join(), /--cluster-cidr is a flag of servers/);
  });

  test("reads the files of config.yaml.d after it: the last one wins, a list marked with + grows", async (t) => {
    const file = join(await temporaryFolder(t), "config.yaml");
    await writeFile(file, "token: first\nserver: https://10.0.0.9:6443\nnode-label: [a=b]\n");
    await mkdir(`${file}.d`);
    await writeFile(join(`${file}.d`, "10-token.yaml"), "token: second\nnode-label+: [c=d]\n");
    await writeFile(join(`${file}.d`, "20-token.yaml"), "token: third\n");
    const { token, nodeLabel } = await load({ flags: {}, env: { K3S_CONFIG_FILE: file } });
    assert.deepEqual([token, nodeLabel.map(({ key }) => key)], ["third", ["a", "c"]]);
  });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { createLogger } from "@k3s/log";
import { readConfigFiles } from "../src/config-files.ts";
import { ConfigError } from "../src/errors.ts";
import { load, problemsOf, temporaryFolder } from "./fixtures.ts";

/** Writes the main file and its drop-ins; undefined leaves the main file out. */
async function configFiles(t: TestContext, main: string | undefined, dropIns: Record<string, string> = {}) {
  const file = join(await temporaryFolder(t), "config.yaml");
  if (main !== undefined) await writeFile(file, main);
  await mkdir(`${file}.d`);
  for (const [name, text] of Object.entries(dropIns)) await writeFile(join(`${file}.d`, name), text);
  return file;
}

describe("loadServerConfig(): where a value comes from", () => {
  const env = { K3S_HTTPS_LISTEN_PORT: "1001" };
  const port = async (given: Parameters<typeof load>[0]) => (await load(given)).httpsListenPort;

  test("takes the default, then the variable, the file, a drop-in and the flag, each above the one before", async (t) => {
    assert.equal(await port({}), 6443);
    assert.equal(await port({ env }), 1001);
    const file = await configFiles(t, "https-listen-port: 1002");
    assert.equal(await port({ env: { ...env, K3S_CONFIG_FILE: file } }), 1002);
    const both = await configFiles(t, "https-listen-port: 1002", {
      "20-b.yaml": "https-listen-port: 1004",
      "10-a.YML": "https-listen-port: 1003",
      "note.txt": "https-listen-port: 1005",
    });
    assert.equal(await port({ env: { ...env, K3S_CONFIG_FILE: both } }), 1004);
    assert.equal(
      await port({ env: { ...env, K3S_CONFIG_FILE: both }, flags: { "https-listen-port": ["1", "1006"] } }),
      1006,
    );
  });

  test("prefers K3S_CONFIG_FILE to --config, and reads --config without it", async (t) => {
    const one = await configFiles(t, "node-name: one");
    const two = await configFiles(t, "node-name: two");
    assert.equal((await load({ env: { K3S_CONFIG_FILE: one }, flags: { config: two } })).nodeName, "one");
    assert.equal((await load({ env: { K3S_CONFIG_FILE: "" }, flags: { config: two } })).nodeName, "two");
  });

  test("takes the last of repeated keys in one file, and adds key+ to the one before", async (t) => {
    const file = await configFiles(t, "node-name: one\ntls-san: a.example\nnode-name: two\ntls-san+: b.example");
    const config = await load({ env: { K3S_CONFIG_FILE: file } });
    assert.equal(config.nodeName, "two");
    assert.deepEqual(config.tlsSan, ["a.example", "b.example"]);
  });

  test("reads drop-ins without a main file", async (t) => {
    const file = await configFiles(t, undefined, { "a.yaml": "node-name: only" });
    assert.equal((await load({ env: { K3S_CONFIG_FILE: file } })).nodeName, "only");
  });

  for (const [name, given] of [
    ["K3S_CONFIG_FILE", { env: { K3S_CONFIG_FILE: "/nonexistent/config.yaml" } }],
    ["--config", { env: { K3S_CONFIG_FILE: "" }, flags: { config: "/nonexistent/config.yaml" } }],
  ] as const) {
    test(`refuses a file that ${name} names and that is not there, before any other mistake`, async () => {
      const wrong = { ...given, unknownFlags: ["--node-nam"] };
      await assert.rejects(load(wrong), (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        assert.equal(error.code, "ERR_CONFIG_FILE_ABSENT");
        assert.equal(error.message, 'Cannot read config file "/nonexistent/config.yaml": there is no such file');
        assert.match(error.hint ?? "", /--config or K3S_CONFIG_FILE/);
        return true;
      });
    });
  }

  test("replaces lists of earlier files, adds under key+, and adds flags to files", async (t) => {
    const main = "tls-san: [a.example, b.example]\nnode-label:\n  - one=1\ndisable+: traefik\n";
    const file = await configFiles(t, main, {
      "1.yaml": "tls-san: c.example\nnode-label+: two=2",
      "2.yaml": "tls-san+:\n  - d.example\ndisable+: [servicelb]",
    });
    const config = await load({ env: { K3S_CONFIG_FILE: file }, flags: { "tls-san": "e.example" } });
    assert.deepEqual(config.tlsSan, ["c.example", "d.example", "e.example"]);
    assert.deepEqual(
      config.nodeLabel.map(({ key }) => key),
      ["one", "two"],
    );
    assert.deepEqual(config.disable, ["traefik", "servicelb"]);
  });

  test("reads short names, YAML 1.1 booleans, unquoted modes, anchors, empty files and empty values", async (t) => {
    const main = [
      "t: secret",
      "debug: yes",
      "write-kubeconfig-mode: 0644",
      "node-name: &name box",
      "write-kubeconfig-name: *name",
      "tls-san:",
      "resolv-conf: null",
    ].join("\n");
    const file = await configFiles(t, main, { "empty.yaml": "", "comment.yaml": "# nothing\n" });
    const config = await load({ env: { K3S_CONFIG_FILE: file } });
    assert.equal(config.token, "secret");
    assert.equal(config.debug, true);
    assert.equal(config.writeKubeconfigMode, 0o644);
    assert.equal(config.writeKubeconfigName, "box");
    assert.deepEqual(config.tlsSan, []);
    assert.equal(config.resolvConf, undefined);
  });

  test("downloads a config file named by address, and refuses one that is not there", async (t) => {
    const server = createServer((request, response) => {
      response.statusCode = request.url === "/config.yaml" ? 200 : 404;
      response.end("node-name: fetched");
    }).listen(0, "127.0.0.1");
    t.after(() => server.close());
    await once(server, "listening");
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const url = `http://127.0.0.1:${address.port}`;
    assert.equal((await load({ env: { K3S_CONFIG_FILE: `${url}/config.yaml` } })).nodeName, "fetched");
    const problems = await problemsOf({ env: { K3S_CONFIG_FILE: `${url}/other` } });
    assert.deepEqual(problems, [`${url}/other: Cannot download settings: status 404`]);
  });

  test("does not wait for ever for an address that does not answer", async (t) => {
    const server = createServer(() => undefined).listen(0, "127.0.0.1");
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    await once(server, "listening");
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const problems: string[] = [];
    const report = (problem: string) => void problems.push(problem);
    const url = `http://127.0.0.1:${address.port}/config.yaml`;
    await readConfigFiles(url, { report, signal: AbortSignal.timeout(10_000), downloadLimitMs: 20 });
    assert.match(problems.join("\n"), /config\.yaml: .*timeout/);
  });

  test("treats an empty variable as none, and splits variables of lists", async () => {
    const env = { K3S_NODE_NAME: "", K3S_TLS_SAN: "a.example,b.example", K3S_KUBELET_ARG: "v=4 max-pods=200" };
    const config = await load({ env });
    assert.equal(config.nodeName, "box-1.example.org");
    assert.deepEqual(config.tlsSan, ["a.example", "b.example"]);
    assert.deepEqual(config.kubeletArg, ["v=4", "max-pods=200"]);
  });
});

describe("loadServerConfig(): mistakes", () => {
  test("lists every mistake in one error with a code, each with its origin", async (t) => {
    const file = await configFiles(t, "advertise-port: none\n", { "bad.yaml": "a: [1\n" });
    const problems = await problemsOf({
      flags: { "https-listen-port": "no", "node-ip": ["x", "y"] },
      env: { K3S_CONFIG_FILE: file, K3S_NODE_NAME: "_" },
      unknownFlags: ["--node-nam", "--cluster-init"],
    });
    const text = problems.join("\n");
    assert.match(text, /^--node-nam is not a flag of k3s server: did you mean --node-name\?$/m);
    assert.match(text, /^--cluster-init is not supported by this version: .+$/m);
    assert.match(text, /^--https-listen-port must be a port .+ "no"$/m);
    assert.match(text, /^--node-ip must be an IP address: current value is "x"$/m);
    assert.match(text, /^--node-ip must be an IP address: current value is "y"$/m);
    assert.match(text, /^--advertise-port .+ "none" \(in the config file\)$/m);
    assert.match(text, /^--node-name .+ "_" \(set by K3S_NODE_NAME\)$/m);
    assert.match(text, /config\.yaml\.d\/bad\.yaml: .+line/m);
    await assert.rejects(load({ flags: { v: "x" } }), (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.code, "ERR_CONFIG_INVALID");
      assert.ok(error.hint);
      return true;
    });
  });

  const malformed = [
    ["- a\n- b", 'must hold lines such as "token: secret"'],
    ["node-label: {a: b}", 'the value of "node-label" must be a text, a number, a boolean or a list of those'],
    ["tls-san: [[a]]", 'the value of "tls-san" must be a text'],
  ] as const;
  for (const [text, problem] of malformed) {
    test(`names the file when it holds ${JSON.stringify(text)}`, async (t) => {
      const file = await configFiles(t, text);
      const [found] = await problemsOf({ env: { K3S_CONFIG_FILE: file } });
      assert.ok(found?.startsWith(`${file}: ${problem}`), found);
    });
  }

  test("warns of a key nobody knows, refuses one that is not served, accepts that one when it is off", async (t) => {
    const file = await configFiles(t, "tls-sna: x\nselinux: false\ncluster-init: true\netcd-disable-snapshots: true");
    const given = { env: { K3S_CONFIG_FILE: file } };
    const problems = await problemsOf(given);
    assert.deepEqual(problems.length, 1);
    assert.match(problems[0] ?? "", /^--cluster-init is not supported by this version: .+ \(in the config file\)$/);
    await writeFile(file, "tls-sna: x\nselinux: false\netcd-disable-snapshots: true");
    const { warnings } = await load(given);
    assert.deepEqual(warnings, [
      "--tls-sna is not a flag of k3s server: did you mean --tls-san? (in the config file, ignored)",
    ]);
  });

  test("accepts a flag that switches off what there is not", async () => {
    assert.deepEqual(await problemsOf({ unknownFlags: ["--etcd-disable-snapshots"] }), []);
  });

  test("refuses variables that ask for what is not served", async () => {
    const [found] = await problemsOf({ env: { K3S_CLUSTER_INIT: "true" } });
    assert.match(found ?? "", /^--cluster-init is not supported .+ \(set by K3S_CLUSTER_INIT\)$/);
    assert.deepEqual(await problemsOf({ env: { K3S_SELINUX: "false" } }), []);
  });

  test("refuses another server to compare with where no datastore is shared with it", async () => {
    const env = { K3S_URL: "https://10.0.0.1:6443" };
    const [found] = await problemsOf({ env });
    assert.match(found ?? "", /^--server needs --datastore-endpoint/);
    assert.deepEqual(await problemsOf({ env, flags: { "datastore-endpoint": "nats://n:4222" } }), []);
  });

  test("never shows a token or a password of an endpoint", async () => {
    const problems = await problemsOf({
      flags: { token: "K10short::server:hunter2", "datastore-endpoint": "mariadb://root:hunter2@tcp(db)/k" },
    });
    assert.equal(problems.length, 2);
    assert.doesNotMatch(problems.join("\n"), /hunter2|short/);
  });
});

describe("loadServerConfig(): tokens", () => {
  test("reads the token file, and lets --token win over it", async (t) => {
    const file = join(await temporaryFolder(t), "token");
    await writeFile(file, "from-file\n");
    assert.equal((await load({ flags: { "token-file": file } })).token, "from-file");
    assert.equal((await load({ flags: { "token-file": file, token: "direct" } })).token, "direct");
    assert.equal((await load({ flags: { "agent-token-file": file } })).agentToken, "from-file");
  });

  test("refuses a token file that is absent, empty or malformed", async (t) => {
    const file = join(await temporaryFolder(t), "token");
    assert.match((await problemsOf({ flags: { "token-file": file } }))[0] ?? "", /^--token-file .*no such file/);
    await writeFile(file, "\n");
    const [empty] = await problemsOf({ flags: { "token-file": file } });
    assert.equal(empty, `--token-file "${file}": its token must not be empty`);
    await writeFile(file, "K10zz::server:hunter2");
    const [bad] = await problemsOf({ flags: { "token-file": file } });
    assert.match(bad ?? "", /invalid token CA hash length/);
    assert.doesNotMatch(bad ?? "", /hunter2/);
  });
});

describe("the configuration", () => {
  test("has the advertised address among the names of the serving certificate", async () => {
    const { servingSans } = await load({ flags: { "advertise-address": "203.0.113.5" } });
    assert.ok(servingSans.includes("203.0.113.5"), servingSans.join());
  });

  test("is frozen all the way down", async () => {
    const config = await load({ flags: { "node-label": "a=b" } });
    assert.ok([config, config.paths, config.nodeLabel, config.nodeLabel[0], config.servingSans].every(Object.isFrozen));
  });

  test("does not show its secrets when it is logged", async () => {
    const lines: string[] = [];
    const log = createLogger({ level: "info", format: "text", write: (line) => void lines.push(line) });
    const config = await load({ flags: { token: "hunter2", "agent-token": "hunter3" } });
    log.info({ config }, "starting");
    assert.match(lines.join(""), /httpsListenPort/);
    assert.doesNotMatch(lines.join(""), /hunter/);
  });

  test("has the settings of its files as arguments, without their secrets", async (t) => {
    const main = ["t: hunter2", "agent-token: hunter3", "v: 4", "tls-san: [a, b]", "datastore-endpoint: sqlite://x"];
    const file = await configFiles(t, main.join("\n"), { "a.yaml": "tls-san+: c\nunheard-of: 1" });
    const { fileArguments } = await load({ env: { K3S_CONFIG_FILE: file } });
    assert.equal(
      fileArguments.join(" "),
      "--token ******** --agent-token ******** -v 4 --tls-san a --tls-san b --tls-san c --datastore-endpoint ********",
    );
  });

  test("derives names, paths and the SANs of the certificate", async () => {
    const config = await load({
      flags: { "tls-san": "api.example", "node-external-ip": "198.51.100.9", "data-dir": "/srv/k3s" },
    });
    assert.equal(config.nodeName, "box-1.example.org");
    assert.equal(config.paths.kubeletDir, "/var/lib/kubelet");
    assert.equal(config.paths.datastoreSocket, "/srv/k3s/server/kine.sock");
    assert.equal(config.apiserverPort, 6444);
    assert.deepEqual(config.servingSans, [
      "api.example",
      "127.0.0.1",
      "::1",
      "localhost",
      "box-1.example.org",
      "198.51.100.9",
      "box-1",
      "192.0.2.7",
      "10.43.0.1",
      "kubernetes",
      "kubernetes.default",
      "kubernetes.default.svc",
      "kubernetes.default.svc.cluster.local",
    ]);
  });

  test("uses the home folder when it is not root's", async () => {
    const config = await load({ host: { isRoot: false, home: "/home/u" } });
    assert.equal(config.dataDir, "/home/u/.rancher/k3s");
  });

  test("asks for a node name when the host name cannot be one", async () => {
    const [found] = await problemsOf({ host: { hostname: "my_host" } });
    assert.match(found ?? "", /^--node-name must be given: the host name must be a DNS-1123 name/);
  });
});

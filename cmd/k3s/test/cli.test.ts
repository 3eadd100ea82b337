import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { settingsOf } from "@k3s/config";
import { run } from "./cli-process.ts";

describe("k3s", () => {
  for (const args of [[], ["--help"], ["-h"], ["help"]]) {
    test(`lists its commands for "${args.join(" ")}"`, async (t) => {
      const { code, stdout, stderr } = await run(t, args);
      assert.equal(code, 0);
      assert.match(stdout, /^ {2}server {2,}\S/m);
      assert.match(stdout, /^ {2}kubectl {2,}\S/m);
      assert.equal(stderr, "");
    });
  }

  for (const [role, args] of [
    ["server", ["server", "--help"]],
    ["server", ["help", "server"]],
    ["agent", ["agent", "--help"]],
  ] as const) {
    test(`shows every flag with its variable for "${args.join(" ")}"`, async (t) => {
      const { code, stdout } = await run(t, args);
      assert.equal(code, 0);
      const flat = stdout.replace(/\s+/g, " ");
      for (const [name, { env }] of settingsOf(role)) {
        assert.ok(flat.includes(name.length === 1 ? ` -${name} ` : `--${name} `), name);
        assert.ok(flat.includes(env), env);
      }
      assert.match(stdout, /^Cluster:$/m);
      assert.equal(flat.includes("random, made at the first start"), role === "server");
      assert.doesNotMatch(stdout, /kube-controller-arg|preset/);
    });
  }

  test("suggests the nearest command", async (t) => {
    const { code, stdout, stderr } = await run(t, ["sevrer"]);
    assert.equal(code, 1);
    assert.equal(stdout, "");
    assert.match(stderr, /^Error: Cannot run k3s: "sevrer" is not a command, did you mean "server"\?$/m);
    assert.match(stderr, /^Code: {2}ERR_USAGE_COMMAND$/m);
    assert.match(stderr, /^Hint: {2}\S/m);
  });

  test("names a command that is not here, whatever its arguments", async (t) => {
    const typo = await run(t, ["tokn", "list", "all"]);
    assert.match(typo.stderr, /"tokn" is not a command, did you mean "token"\?$/m);
    const absent = await run(t, ["etcd-snapshot", "ls"]);
    assert.match(absent.stderr, /^Error: Cannot run k3s: this version has no command "etcd-snapshot"$/m);
    assert.match(absent.stderr, /^Code: {2}ERR_USAGE_COMMAND_ABSENT$/m);
    assert.deepEqual([typo.code, absent.code], [1, 1]);
  });
});

describe("k3s server: mistakes on the command line", () => {
  const cases = [
    [["--clutser-cidr", "10.0.0.0/16"], /--clutser-cidr is not a flag of k3s server: did you mean --cluster-cidr\?/],
    [["--server=https://a:6443"], /--server needs --datastore-endpoint/],
    [["-s", "https://a:6443"], /--server needs --datastore-endpoint/],
    [["--cluster-init", "--kubelet-arg", "--v=2"], /--cluster-init is not supported by this version/],
    [["--https-listen-port=x"], /--https-listen-port must be a port/],
    [["-https-listen-port=x"], /--https-listen-port must be a port/],
    [["-d=x"], /--data-dir must be an absolute path: current value is "x"/],
    [["--token="], /--token must not be empty/],
    [["--token", "K10abc::server:hunter2"], /--token must be a password or a whole K10 token/],
    [["--debug=perhaps"], /--debug must be true or false/],
    [["extra"], /server takes no argument "extra"/],
    [["--token"], /option '-t, --token <TOKEN>' argument missing/],
  ] as const;
  for (const [args, expected] of cases) {
    test(`${args.join(" ")}: one error, exit code 1`, async (t) => {
      const { code, stdout, stderr } = await run(t, ["server", ...args]);
      assert.equal(code, 1);
      assert.equal(stdout, "");
      assert.match(stderr, expected);
      assert.match(stderr, /^Code: {2}ERR_(CONFIG_INVALID|USAGE)$/m);
      assert.match(stderr, /^Hint: {2}\S/m);
      assert.doesNotMatch(stderr, /hunter2|at .*\.ts:/);
    });
  }

  test("understands flags before the command", async (t) => {
    const { stderr } = await run(t, ["--debug", "--data-dir", "x", "server"]);
    assert.match(stderr, /--data-dir must be an absolute path: current value is "x"/);
  });
});

describe("k3s datastore", () => {
  for (const [args, usage] of [
    [["datastore", "help"], "k3s datastore [command]"],
    [["datastore", "help", "serve"], "k3s datastore serve [flags]"],
    [["help", "datastore", "serve"], "k3s datastore serve [flags]"],
  ] as const) {
    test(`${args.join(" ")} prints the help asked for`, async (t) => {
      const { code, stdout, stderr } = await run(t, args);
      assert.deepEqual([code, stderr], [0, ""]);
      assert.ok(stdout.startsWith(`Usage: ${usage}\n`), stdout);
    });
  }

  for (const [args, message, hint] of [
    [["serv"], /"serv" is not a command, did you mean "serve"\?\nCode: {2}ERR_USAGE_COMMAND\n/, "k3s datastore"],
    [["stats", "--endpoint=x"], /"stats" is not a command, did you mean "status"\?/, "k3s datastore"],
    [["Check"], /"Check" is not a command, did you mean "check"\?/, "k3s datastore"],
    [["backup"], /"backup" is not a command\n/, "k3s datastore"],
    [["help", "stat"], /"stat" is not a command/, "k3s datastore"],
    [["--nosuch"], /unknown option '--nosuch'/, "k3s datastore"],
    [["status", "--nosuch"], /unknown option '--nosuch'/, "k3s datastore status"],
  ] as const) {
    test(`${args.join(" ")} is refused with the help of its command`, async (t) => {
      const { code, stdout, stderr } = await run(t, ["datastore", ...args]);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, message);
      assert.ok(stderr.includes(`Hint:  See ${hint} --help`), stderr);
    });
  }
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { parse } from "yaml";
import type { BootstrapToken } from "@k3s/token";
import { normalizeTokenArguments } from "../src/token-command.ts";
import { formatTokens } from "../src/token/format-tokens.ts";
import { parseDuration } from "../src/token/parse-duration.ts";
import { readNewToken } from "../src/token/read-new-token.ts";
import { run, temporaryFolder } from "./cli-process.ts";

const NOW = new Date("2026-01-01T00:00:00.500Z");
const SECRET = "0123456789abcdef";
const TOKEN: BootstrapToken = {
  ...{ id: "abc123", secret: SECRET, description: "for the rack", usages: ["authentication", "signing"] },
  expires: new Date("2026-01-02T00:00:00Z"),
  groups: ["system:bootstrappers:k3s:default-node-token"],
};
const BARE: BootstrapToken = {
  ...{ id: "bare00", secret: SECRET, description: "", expires: undefined },
  ...{ usages: [], groups: [] },
};

describe("formatTokens()", () => {
  test("sets the columns as k3s does, and shows no secret", () => {
    assert.equal(
      formatTokens([TOKEN, BARE], "text", NOW),
      [
        "TOKEN     TTL         EXPIRES                USAGES                   DESCRIPTION    EXTRA GROUPS",
        "abc123    23h         2026-01-02T00:00:00Z   authentication,signing   for the rack   system:bootstrappers:k3s:default-node-token",
        "bare00    <forever>   <never>                <none>                   <none>         <none>",
        "",
      ].join("\n"),
    );
    const header = "TOKEN     TTL       EXPIRES   USAGES    DESCRIPTION   EXTRA GROUPS\n";
    assert.equal(formatTokens([], "text", NOW), header);
  });

  for (const [ms, shown] of [
    [-5000, "<invalid>"],
    [-1000, "0s"],
    [59_999, "59s"],
    [60_000, "1m"],
    [3_599_000, "59m"],
    [3_600_000, "1h"],
    [86_400_000, "1d"],
    [364 * 86_400_000, "364d"],
    [800 * 86_400_000, "2y"],
  ] as const) {
    test(`shows ${ms} ms as ${shown}`, () => {
      const text = formatTokens([{ ...TOKEN, expires: new Date(NOW.getTime() + ms) }], "text", NOW);
      assert.equal(text.split("\n")[1]?.split(/\s+/)[1], shown);
    });
  }

  test("prints a description of several lines in one", () => {
    const text = formatTokens([{ ...TOKEN, description: "a\nb\tc" }], "text", NOW);
    assert.equal(text.split("\n").length, 3);
    assert.match(text, / a b c {3}/);
  });

  test("gives JSON and YAML whole tokens in the form of kubeadm", () => {
    const expected = [
      {
        token: `abc123.${SECRET}`,
        description: "for the rack",
        expires: "2026-01-02T00:00:00Z",
        usages: ["authentication", "signing"],
        groups: ["system:bootstrappers:k3s:default-node-token"],
      },
      { token: `bare00.${SECRET}` },
    ];
    assert.equal(formatTokens([TOKEN, BARE], "json", NOW), `${JSON.stringify(expected)}\n`);
    assert.deepEqual(parse(formatTokens([TOKEN, BARE], "yaml", NOW)), expected);
    assert.equal(formatTokens([], "json", NOW), "[]\n");
  });
});

describe("parseDuration()", () => {
  for (const [text, ms] of [
    ["0", 0],
    ["24h", 86_400_000],
    ["1h30m", 5_400_000],
    ["1.5h", 5_400_000],
    [".5s", 500],
    ["100ms", 100],
    ["-1m", -60_000],
    ["", undefined],
    ["24", undefined],
    ["1d", undefined],
    ["h", undefined],
    ["1h 2m", undefined],
    ["1hx", undefined],
  ] as const) {
    test(`reads "${text}" as ${String(ms)}`, () => assert.equal(parseDuration(text), ms));
  }
});

describe("readNewToken()", () => {
  test("has the defaults of k3s", () => {
    const { id, secret, ...rest } = readNewToken([], {}, NOW);
    assert.match(`${id}.${secret}`, /^[a-z0-9]{6}\.[a-z0-9]{16}$/);
    assert.deepEqual(rest, {
      description: "",
      expires: new Date(NOW.getTime() + 86_400_000),
      usages: ["authentication", "signing"],
      groups: ["system:bootstrappers:k3s:default-node-token"],
    });
  });

  test("takes what is given", () => {
    const texts = { description: "d", ttl: "0", groups: ["system:bootstrappers:x"], usages: ["authentication"] };
    const expected = { id: "abc123", secret: SECRET, description: "d", expires: undefined };
    const token = readNewToken([`abc123.${SECRET}`], texts, NOW);
    assert.deepEqual(token, { ...expected, groups: ["system:bootstrappers:x"], usages: ["authentication"] });
  });

  test("tells every mistake at once", () => {
    const texts = { ttl: "-1h", groups: ["system:masters"], usages: ["signing", "joining"] };
    assert.throws(
      () => readNewToken([], texts, NOW),
      /--ttl must.*"-1h".*--usages must.*"joining".*--groups must begin.*"system:masters".*--groups needs/s,
    );
  });
});

test("normalizeTokenArguments() understands Go's spellings and leaves values alone", () => {
  const given = ["token", "-data-dir=/x", "create", "-ttl", "-description", "-o=json", "--new-token", "-secret", "-h"];
  const expected = [
    "token",
    "--data-dir=/x",
    "create",
    "--ttl",
    "-description",
    "-o",
    "json",
    "--new-token",
    "-secret",
    "-h",
  ];
  assert.deepEqual(normalizeTokenArguments(given), expected);
});

/** A kubeconfig for a port that nobody listens on. */
async function deadKubeconfig(t: TestContext): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  server.close();
  await once(server, "close");
  const path = join(await temporaryFolder(t), "config");
  const lists = `clusters: [{name: a, cluster: {server: "https://127.0.0.1:${port}"}}]\nusers: [{name: a, user: {token: x}}]`;
  await writeFile(path, `current-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n${lists}\n`);
  return path;
}

describe("k3s token", () => {
  test("lists its commands", async (t) => {
    const { code, stdout } = await run(t, ["token"]);
    assert.equal(code, 0);
    for (const name of ["create", "delete", "generate", "list", "rotate"])
      assert.match(stdout, new RegExp(`^ {2}${name} {2,}\\S`, "m"));
  });

  test("generate prints a token without a cluster", async (t) => {
    const { code, stdout, stderr } = await run(t, ["token", "generate"]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^[a-z0-9]{6}\.[a-z0-9]{16}\n$/);
  });

  for (const [args, code, message] of [
    [["list", "-o", "xml"], "ERR_USAGE_SETTINGS", /--output must be text, json or yaml: current value is "xml"/],
    [["list", "-d", "/nowhere"], "ERR_KUBECONFIG_ABSENT", /"\/nowhere\/server\/cred\/admin.kubeconfig"/],
    [["list", "--kubeconfig=/nowhere"], "ERR_KUBECONFIG_ABSENT", /kubeconfig "\/nowhere"/],
    [["delete"], "ERR_USAGE", /token delete needs the id of a token/],
    [["delete", "hunter2"], "ERR_TOKEN_NOT_BOOTSTRAP", /Cannot parse bootstrap token/],
    [["create", "hunter2"], "ERR_TOKEN_NOT_BOOTSTRAP", /Cannot parse bootstrap token/],
    [["create", "-ttl=1y"], "ERR_USAGE_SETTINGS", /--ttl must be a duration/],
    [["rotate", "-d", "/nowhere"], "ERR_TOKEN_UNKNOWN", /no token of a server in "\/nowhere\/server"/],
    [["rotate", "--new-token", `abc123.${SECRET}`], "ERR_TOKEN_NOT_FOR_SERVERS", /Cannot use token for a server/],
    [["rotate", "--token", "hunter2", "-s", "http://a"], "ERR_TOKEN_SERVER_URL", /only https:\/\/ URLs/],
    [["rotate", "--token", "hunter2", "-s", "https://127.0.0.1:1"], "ERR_SERVER_UNREACHABLE", /ECONNREFUSED/],
    [["sing"], "ERR_USAGE", /too many arguments|unknown command/],
  ] as const) {
    test(`${args.join(" ")}: one error, exit code 1, and no secret in it`, async (t) => {
      const { code: exitCode, stdout, stderr } = await run(t, ["token", ...args]);
      assert.deepEqual([exitCode, stdout], [1, ""]);
      assert.match(stderr, message);
      assert.match(stderr, new RegExp(`^Code: {2}${code}$`, "m"));
      assert.match(stderr, /^Hint: {2}\S/m);
      assert.doesNotMatch(stderr, /hunter2|at .*\.ts:/);
    });
  }

  test("finds the data dir before the command, in the variable and in a config file", async (t) => {
    const folder = await temporaryFolder(t);
    const config = join(folder, "config.yaml");
    await writeFile(config, "data-dir: /from-file\nunknown: 1\n");
    for (const [args, env, dataDir] of [
      [["--data-dir", "/before", "token", "list"], {}, "/before"],
      [["token", "list"], { K3S_DATA_DIR: "/variable" }, "/variable"],
      [["token", "list"], { K3S_CONFIG_FILE: config }, "/from-file"],
    ] as const) {
      const { stderr } = await run(t, args, { env });
      assert.ok(stderr.includes(`"${dataDir}/server/cred/admin.kubeconfig"`), stderr);
    }
  });

  test("says that the API server does not answer, and where", async (t) => {
    const kubeconfig = await deadKubeconfig(t);
    const { code, stderr } = await run(t, ["token", "create"], { env: { KUBECONFIG: kubeconfig } });
    assert.equal(code, 1);
    assert.match(stderr, /the API server at https:\/\/127\.0\.0\.1:\d+ does not answer \(.*ECONNREFUSED/);
    assert.match(stderr, /^Code: {2}ERR_TOKEN_API_UNREACHABLE$/m);
  });

  test("rotate takes the token of the server on this machine", async (t) => {
    const folder = await temporaryFolder(t);
    await mkdir(join(folder, "server"));
    await writeFile(join(folder, "server/token"), "K10bad::server:hunter2\n");
    const { stderr } = await run(t, ["token", "rotate", "-d", folder]);
    assert.match(stderr, /^Code: {2}ERR_TOKEN_HASH_LENGTH$/m);
  });
});

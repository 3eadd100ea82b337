import assert from "node:assert/strict";
import { chmod, lstat, mkdir, readFile, readlink, realpath, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { formatCsv, parseCsv } from "../src/csv.ts";
import {
  caHash,
  ensureNodePassword,
  ensurePasswd,
  readPasswd,
  readServerToken,
  tokenPaths,
  writePasswd,
  writeTokenFiles,
} from "../src/index.ts";
import { folder, makeAuthority } from "./support.ts";

const HASH = "0123456789abcdef".repeat(4);

async function passwdOf(serverDir: string): Promise<Record<string, string>> {
  const entries = await readPasswd(join(serverDir, "cred", "passwd"));
  return Object.fromEntries(
    entries.map(({ user, uid, password, groups }) => [user, `${uid} ${password} ${groups.join(",")}`]),
  );
}

async function storeUsers(serverDir: string, ...rows: readonly string[]): Promise<string> {
  await mkdir(join(serverDir, "cred"), { recursive: true });
  const path = join(serverDir, "cred", "passwd");
  await writeFile(path, `${rows.join("\n")}\n`, { mode: 0o600 });
  return path;
}

describe("parseCsv()", () => {
  for (const [text, rows] of [
    ["", []],
    [
      "a,b\nc,d\n",
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    ["a,b", [["a", "b"]]],
    ['"a,b",c\r\n', [["a,b", "c"]]],
    ['"he said ""no""",x\n', [['he said "no"', "x"]]],
    ['"two\nlines",x\n', [["two\nlines", "x"]]],
    ["a,,\n\nb\n", [["a", "", ""], ["b"]]],
    ["a,", [["a", ""]]],
  ] as const) {
    test(`reads ${JSON.stringify(text)}`, () => assert.deepEqual(parseCsv(text), rows));
  }
  test("refuses a quote inside a field", () => assert.throws(() => parseCsv('"a"b,c\n'), SyntaxError));
  test("reads back what formatCsv() writes", () => {
    const rows = [["plain", 'quo"te', "com,ma", " space", "line\nfeed", ""], ["\\."]];
    assert.deepEqual(parseCsv(formatCsv(rows)), rows);
  });
});

describe("ensurePasswd()", () => {
  test("makes up one password for both users, 0600, and keeps it", async (t) => {
    const serverDir = await folder(t);
    const made = await ensurePasswd({ serverDir, token: undefined, agentToken: undefined });
    assert.match(made.server, /^[0-9a-f]{32}$/);
    assert.equal(made.node, made.server);
    assert.equal(made.isChanged, true);
    const path = join(serverDir, "cred", "passwd");
    const rows = (await readFile(path, "utf8")).trim().split("\n").sort();
    assert.deepEqual(rows, [`${made.server},node,node,k3s:agent`, `${made.server},server,server,k3s:server`]);
    const before = await stat(path, { bigint: true });
    assert.equal(before.mode & 0o777n, 0o600n);
    const again = await ensurePasswd({ serverDir, token: undefined, agentToken: undefined });
    assert.deepEqual(again, { ...made, isChanged: false });
    assert.equal((await stat(path, { bigint: true })).mtimeNs, before.mtimeNs);
  });

  for (const [what, token, agentToken, server, node] of [
    ["a bare token", "secret", undefined, "secret", "secret"],
    ["a full token", `K10${HASH}::server:secret`, undefined, "secret", "secret"],
    ["an agent token", "secret", "agents", "secret", "agents"],
    ["a full agent token", "secret", `K10${HASH}::node:agents`, "secret", "agents"],
  ] as const) {
    test(`takes the passwords from ${what}`, async (t) => {
      const serverDir = await folder(t);
      await ensurePasswd({ serverDir, token: "before", agentToken: undefined });
      const passwords = await ensurePasswd({ serverDir, token, agentToken });
      assert.deepEqual(passwords, { server, node, isChanged: true });
      assert.deepEqual(await passwdOf(serverDir), {
        server: `server ${server} k3s:server`,
        node: `node ${node} k3s:agent`,
      });
    });
  }

  test("gives the server the node's password where an old release stored only that", async (t) => {
    const serverDir = await folder(t);
    await storeUsers(serverDir, "old,node,node,k3s:agent");
    assert.equal((await ensurePasswd({ serverDir, token: undefined, agentToken: undefined })).server, "old");
  });

  test("strips whole tokens, repairs roles and keeps other users", async (t) => {
    const serverDir = await folder(t);
    await storeUsers(serverDir, `K10${HASH}::server:deep,server,server,wrong`, 'x,somebody,7,"a,b"');
    await ensurePasswd({ serverDir, token: undefined, agentToken: undefined });
    assert.deepEqual(await passwdOf(serverDir), {
      server: "server deep k3s:server",
      node: "node deep k3s:agent",
      somebody: "7 x a,b",
    });
  });

  test("refuses a bootstrap token for a server", async (t) => {
    const options = { serverDir: await folder(t), token: "abc123.0123456789abcdef", agentToken: undefined };
    await assert.rejects(ensurePasswd(options), { code: "ERR_TOKEN_NOT_FOR_SERVERS" });
  });
});

describe("readPasswd()", () => {
  test("names the file and the columns found when a row is too short", async (t) => {
    const path = await storeUsers(await folder(t), "only-one");
    await assert.rejects(readPasswd(path), {
      code: "ERR_PASSWD_COLUMNS",
      message: new RegExp(`password file '${path}' must have at least 2 columns \\(password, name\\), found 1$`),
    });
  });
  test("reads rows of two columns", async (t) => {
    const path = await storeUsers(await folder(t), "pw,me");
    assert.deepEqual(await readPasswd(path), [{ password: "pw", user: "me", uid: "", groups: [] }]);
  });
  test("refuses what is no readable file", async (t) => {
    const dir = await folder(t);
    await assert.rejects(readPasswd(dir), { code: "ERR_TOKEN_FILE_UNUSABLE" });
  });
  test("refuses broken quoting with the file's name", async (t) => {
    const path = await storeUsers(await folder(t), '"pw"x,me');
    await assert.rejects(readPasswd(path), { code: "ERR_TOKEN_FILE_UNUSABLE", message: new RegExp(path) });
  });
  test("finds nobody when there is no file", async (t) => {
    assert.deepEqual(await readPasswd(join(await folder(t), "none")), []);
  });
  test("reads back what writePasswd() wrote", async (t) => {
    const path = join(await folder(t), "passwd");
    const entries = [{ password: 'p,"w', user: "u", uid: "1", groups: ["a", "b"] }];
    await writePasswd(path, entries);
    assert.deepEqual(await readPasswd(path), entries);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  });
});

async function serverWithCa(t: TestContext): Promise<{ readonly serverDir: string; readonly hash: string }> {
  const serverDir = await folder(t);
  await mkdir(join(serverDir, "tls"));
  await makeAuthority({ dir: join(serverDir, "tls"), name: "server-ca" });
  return { serverDir, hash: caHash(await readFile(join(serverDir, "tls", "server-ca.crt"))) };
}

describe("writeTokenFiles()", () => {
  const passwords = { server: "ps", node: "pn" };

  test("writes the token and two links to it", async (t) => {
    const { serverDir, hash } = await serverWithCa(t);
    const paths = tokenPaths(serverDir);
    const token = await writeTokenFiles({ serverDir, passwords, hasAgentToken: false });
    assert.equal(token, `K10${hash}::server:ps`);
    assert.equal(await readFile(paths.token, "utf8"), `${token}\n`);
    assert.equal((await stat(paths.token)).mode & 0o777, 0o600);
    for (const link of [paths.nodeToken, paths.agentToken]) {
      assert.ok((await lstat(link)).isSymbolicLink());
      assert.equal(await realpath(link), await realpath(paths.token));
    }
  });

  test("gives agents a file of their own when they have a token of their own, and takes it away again", async (t) => {
    const { serverDir, hash } = await serverWithCa(t);
    const paths = tokenPaths(serverDir);
    await writeTokenFiles({ serverDir, passwords, hasAgentToken: false });
    await writeTokenFiles({ serverDir, passwords, hasAgentToken: true });
    assert.equal(await readFile(paths.agentToken, "utf8"), `K10${hash}::node:pn\n`);
    assert.equal((await lstat(paths.agentToken)).mode & 0o777, 0o600);
    assert.equal(await readFile(paths.token, "utf8"), `K10${hash}::server:ps\n`, "not written through the link");
    await writeTokenFiles({ serverDir, passwords, hasAgentToken: false });
    assert.ok((await lstat(paths.agentToken)).isSymbolicLink());
  });

  test("replaces a file where the link belongs, and a token others can read", async (t) => {
    const { serverDir } = await serverWithCa(t);
    const paths = tokenPaths(serverDir);
    await writeFile(paths.nodeToken, "old");
    const token = await writeTokenFiles({ serverDir, passwords, hasAgentToken: false });
    await chmod(paths.token, 0o644);
    await writeTokenFiles({ serverDir, passwords, hasAgentToken: false });
    assert.equal(await readlink(paths.nodeToken), "token");
    assert.equal((await stat(paths.token)).mode & 0o777, 0o600);
    assert.equal(await readFile(paths.nodeToken, "utf8"), `${token}\n`);
  });

  test("touches nothing the second time", async (t) => {
    const { serverDir } = await serverWithCa(t);
    const { token } = tokenPaths(serverDir);
    await writeTokenFiles({ serverDir, passwords, hasAgentToken: false });
    const before = await stat(token, { bigint: true });
    await writeTokenFiles({ serverDir, passwords, hasAgentToken: false });
    const after = await stat(token, { bigint: true });
    assert.deepEqual([after.ino, after.mtimeNs], [before.ino, before.mtimeNs]);
  });

  test("says when the CA is missing", async (t) => {
    const written = writeTokenFiles({ serverDir: await folder(t), passwords, hasAgentToken: false });
    await assert.rejects(written, { code: "ERR_TOKEN_FILE_UNUSABLE" });
  });
});

describe("readServerToken()", () => {
  test("prefers what is given, then the token file, then the stored password", async (t) => {
    const serverDir = await folder(t);
    assert.equal(await readServerToken(serverDir, undefined), undefined);
    await ensurePasswd({ serverDir, token: "stored", agentToken: undefined });
    assert.equal(await readServerToken(serverDir, ""), "stored");
    await writeFile(join(serverDir, "token"), "  from-file \n");
    assert.equal(await readServerToken(serverDir, undefined), "from-file");
    assert.equal(await readServerToken(serverDir, "given"), "given");
  });
  test("refuses a token file that cannot be read", async (t) => {
    const serverDir = await folder(t);
    await mkdir(join(serverDir, "token"));
    await assert.rejects(readServerToken(serverDir, undefined), { code: "ERR_TOKEN_FILE_UNUSABLE" });
  });
});

describe("ensureNodePassword()", () => {
  test("makes a password, 0600 in a folder 0755, and keeps it", async (t) => {
    const path = join(await folder(t), "node", "password");
    const password = await ensureNodePassword({ path });
    assert.match(password, /^[0-9a-f]{32}$/);
    assert.equal(await readFile(path, "utf8"), `${password}\n`);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal((await stat(join(path, ".."))).mode & 0o777, 0o755);
    assert.equal(await ensureNodePassword({ path }), password);
  });
  test("moves the file of an old release, which wins", async (t) => {
    const dir = await folder(t);
    const [path, legacyPath] = [join(dir, "password"), join(dir, "node-password.txt")];
    await writeFile(legacyPath, "legacy\n");
    await writeFile(path, "newer\n");
    assert.equal(await ensureNodePassword({ path, legacyPath }), "legacy");
    await assert.rejects(stat(legacyPath), { code: "ENOENT" });
    assert.equal(await ensureNodePassword({ path, legacyPath }), "legacy");
  });
  test("makes another when the file is empty, and refuses a folder in its place", async (t) => {
    const path = join(await folder(t), "password");
    await writeFile(path, "\n");
    assert.match(await ensureNodePassword({ path }), /^[0-9a-f]{32}$/);
    await rm(path);
    await mkdir(path);
    await assert.rejects(ensureNodePassword({ path }), { code: "ERR_TOKEN_FILE_UNUSABLE" });
  });
});

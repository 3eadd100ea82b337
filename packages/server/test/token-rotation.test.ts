import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, readlink, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { bootstrapStoreOn, prepareBootstrap, saveBootstrap, type BootstrapStore } from "@k3s/bootstrap-data";
import { openStore } from "@k3s/datastore";
import { openDatastore, parseEndpoint } from "@k3s/datastore-endpoint";
import { createLogger } from "@k3s/log";
import { ensureServerPki, serverCredPaths } from "@k3s/pki";
import type { RouteRequest } from "@k3s/supervisor-api";
import { ensurePasswd, readPasswd, tokenHash, writeTokenFiles } from "@k3s/token";
import { serverRoutes, TokenRotation } from "../src/index.ts";

const limit = () => AbortSignal.timeout(60_000);

/** The state of a server as after its start, in a real SQLite file. */
async function setUp(t: TestContext, { agentToken }: { readonly agentToken?: string } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "k3s-rotation-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const lines: string[] = [];
  const log = createLogger({ level: "info", format: "text", write: (line) => lines.push(line) });
  const endpoint = parseEndpoint("");
  assert.ok(endpoint.kind !== "etcd");
  const driver = await openDatastore({ endpoint, folder, tls: {}, log, signal: limit() });
  const opened = await openStore(driver, { log });
  t.after(() => opened.close());
  const store = bootstrapStoreOn(opened);
  const serverDir = join(folder, "server");
  await ensureServerPki({
    serverDir,
    clusterDomain: "cluster.local",
    sans: [],
    apiServerUrl: "https://127.0.0.1:6444",
  });
  const passwords = await ensurePasswd({ serverDir, token: "old", agentToken });
  const hasAgentToken = agentToken !== undefined;
  await writeTokenFiles({ serverDir, passwords, hasAgentToken });
  await saveBootstrap({ store, serverDir, token: "old", log, signal: limit() });
  const rotation = (its: BootstrapStore = store) => {
    return new TokenRotation({ serverDir, hasAgentToken, store: () => its, log });
  };
  const users = async () => {
    const entries = await readPasswd(serverCredPaths(serverDir).passwd);
    return Object.fromEntries(entries.map(({ user, password }) => [user, password]));
  };
  const keys = async () => (await store.list("/bootstrap")).map(({ key }) => key);
  const file = async (name: string) =>
    (await readFile(join(serverDir, name), "utf8")).trim().replace(/^K10[0-9a-f]{64}::/, "");
  const start = (token: string) => prepareBootstrap({ store, serverDir, token, log, signal: limit() });
  return { store, serverDir, lines, rotation, users, keys, file, start, log };
}

const keyOf = (token: string) => `/bootstrap/${tokenHash(token)}`;

describe("TokenRotation", () => {
  test("changes users, token files and the record, so that the next start goes on", async (t) => {
    const { rotation, users, keys, file, start, serverDir, lines } = await setUp(t);
    await rotation().change("fresh");
    assert.deepEqual(await users(), { server: "fresh", node: "fresh" });
    assert.equal(await file("token"), "server:fresh");
    assert.equal(await readlink(join(serverDir, "agent-token")), "token");
    assert.deepEqual(await keys(), [keyOf("fresh")]);
    assert.deepEqual(await start("fresh"), { kind: "reconciled", result: { kind: "unchanged" } });
    await assert.rejects(start("old"), { code: "ERR_BOOTSTRAP_TOKEN_MISMATCH" });
    assert.doesNotMatch(lines.join(""), /fresh|:old/);
  });

  test("makes a token up when none is given, as k3s does: 32 hex digits", async (t) => {
    const { rotation, users, keys } = await setUp(t);
    await rotation().change("");
    const { server = "", node } = await users();
    assert.match(server, /^[0-9a-f]{32}$/);
    assert.equal(node, server);
    assert.deepEqual(await keys(), [keyOf(server)]);
  });

  test("leaves the token of agents alone where they have one of their own", async (t) => {
    const { rotation, users, file } = await setUp(t, { agentToken: "agents" });
    await rotation().change("fresh");
    assert.deepEqual(await users(), { server: "fresh", node: "agents" });
    assert.equal(await file("agent-token"), "node:agents");
  });

  test("takes the password out of a whole token, and refuses one that servers cannot use", async (t) => {
    const { rotation, users } = await setUp(t);
    await rotation().change(`K10${"a".repeat(64)}::server:fresh`);
    assert.equal((await users())["server"], "fresh");
    await assert.rejects(rotation().change("abc123.0123456789abcdef"), { code: "ERR_TOKEN_NOT_FOR_SERVERS" });
    assert.equal((await users())["server"], "fresh");
  });

  test("does nothing when the token is the one there is", async (t) => {
    const { rotation, store } = await setUp(t);
    const before = await store.list("/bootstrap");
    await rotation().change("old");
    assert.deepEqual(await store.list("/bootstrap"), before);
  });

  test("takes its turns: of many at once the last one stays", async (t) => {
    const { rotation, users, keys } = await setUp(t);
    const one = rotation();
    await Promise.all(["a1", "a2", "a3"].map((token) => one.change(token)));
    assert.deepEqual(await users(), { server: "a3", node: "a3" });
    assert.deepEqual(await keys(), [keyOf("a3")]);
  });

  test("leaves everything as it was when another server is first", async (t) => {
    const { rotation, store, users, keys, file, start } = await setUp(t);
    const slow: BootstrapStore = {
      ...store,
      delete: (key, at) => (key === keyOf("old") ? Promise.resolve(false) : store.delete(key, at)),
    };
    await assert.rejects(rotation(slow).change("fresh"), { code: "ERR_BOOTSTRAP_RACED" });
    assert.deepEqual(await users(), { server: "old", node: "old" });
    assert.equal(await file("token"), "server:old");
    assert.deepEqual(await keys(), [keyOf("old")]);
    assert.deepEqual(await start("old"), { kind: "reconciled", result: { kind: "unchanged" } });
  });

  test("leaves everything as it was when the token cannot be written", async (t) => {
    const { rotation, serverDir, users, keys } = await setUp(t);
    const token = join(serverDir, "token");
    await rename(token, `${token}-away`);
    await mkdir(join(token, "in-the-way"), { recursive: true });
    await assert.rejects(rotation().change("fresh"));
    assert.deepEqual(await users(), { server: "old", node: "old" });
    assert.deepEqual(await keys(), [keyOf("old")]);
  });
});

describe("serverRoutes()", () => {
  const request = (method: string, body = ""): RouteRequest => ({
    ...{ method, remoteAddress: "127.0.0.1", signal: limit(), header: () => undefined },
    query: new URLSearchParams(),
    caller: { name: "server", groups: ["k3s:server"], proof: "password" },
    body: () => Promise.resolve(Buffer.from(body)),
  });
  const ask = async (path: string, its: RouteRequest, changeToken: (token: string) => Promise<void>) => {
    const lines: string[] = [];
    const log = createLogger({ level: "info", format: "text", write: (line) => lines.push(line) });
    const answer = await serverRoutes({ changeToken, log })
      .get(path)
      ?.answer(its)
      .catch((error: unknown) => (error instanceof Error && "failure" in error ? error.failure : error));
    return { answer, lines };
  };
  const none = () => Promise.resolve();

  test("are for servers alone", () => {
    const routes = [
      ...serverRoutes({
        changeToken: none,
        log: createLogger({ level: "error", format: "text", write: () => undefined }),
      }),
    ];
    assert.deepEqual(
      routes.map(([path, { groups }]) => [path, groups]),
      [
        ["/v1-k3s/server-bootstrap", ["k3s:server"]],
        ["/v1-k3s/token", ["k3s:server"]],
      ],
    );
  });

  test("say that there is no etcd to join by", async () => {
    const { answer } = await ask("/v1-k3s/server-bootstrap", request("GET"), none);
    assert.deepEqual(answer, { code: 400, reason: "BadRequest", message: "etcd disabled" });
  });

  for (const [title, its, code] of [
    ["another method", request("GET"), 405],
    ["no JSON", request("PUT", "newToken"), 400],
    ["no object", request("PUT", "null"), 400],
    ["no newToken", request("PUT", "{}"), 400],
    ["a newToken that is no string", request("PUT", '{"newToken":1}'), 400],
  ] as const) {
    test(`refuse to change the token for ${title}`, async () => {
      const { answer } = await ask("/v1-k3s/token", its, () => assert.fail("the token is changed"));
      assert.equal((answer as { readonly code?: number }).code, code);
    });
  }

  test("give a number for what failed, and the log says what it was", async () => {
    const fail = () => Promise.reject(new Error("the disk is full"));
    const { answer, lines } = await ask("/v1-k3s/token", request("PUT", '{"newToken":"x"}'), fail);
    const { code, message } = answer as { readonly code: number; readonly message: string };
    assert.equal(code, 500);
    assert.match(message, /^Internal error occurred: token error ID \d{5}$/);
    assert.match(lines.join(""), /the disk is full/);
    assert.ok(lines.join("").includes(message.slice(-5)));
  });
});

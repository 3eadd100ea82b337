import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect as connectTcp, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import { after, before, describe, test, type TestContext } from "node:test";
import { inspect } from "node:util";
import { collectLog, type NatsServer } from "@k3s/testkit";
import { openNatsDriver } from "../src/index.ts";
import { JwtOperator } from "./support/jwt-operator.ts";
import { startNats } from "./support/nats-fixture.ts";
import { makeTlsFiles } from "./support/tls-files.ts";

async function tempFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-nats-context-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Opens and closes with such a context file; resolves with the warnings of the log. */
async function tryOpen(t: TestContext, context: object | string): Promise<readonly string[]> {
  const path = join(await tempFolder(t), "context.json");
  await writeFile(path, typeof context === "string" ? context : JSON.stringify(context));
  const { log, lines } = collectLog();
  const signal = AbortSignal.any([t.signal, AbortSignal.timeout(20_000)]);
  const driver = await openNatsDriver({ endpoint: `nats://?contextFile=${path}`, log, signal });
  await driver.close();
  return lines.filter((line) => line.includes("is ignored"));
}

/** Hands TLS connections on to `server` and says of it that it wants TLS, as a nats-server with handshake_first does. */
async function startTlsFirst(t: TestContext, server: NatsServer, pair: { cert: string; key: string }): Promise<number> {
  const [cert, key] = [await readFile(pair.cert), await readFile(pair.key)];
  const proxy = createServer({ cert, key }, (client) => {
    const upstream = connectTcp(server.port, "127.0.0.1");
    upstream.once("data", (greeting) => {
      client.write(greeting.toString("latin1").replace("INFO {", 'INFO {"tls_required":true,'), "latin1");
      upstream.pipe(client);
    });
    client.pipe(upstream);
    for (const socket of [client, upstream]) socket.on("error", () => [client, upstream].map((it) => it.destroy()));
  });
  await new Promise<void>((resolve) => {
    proxy.listen(0, "127.0.0.1", resolve);
  });
  t.after(() => {
    proxy.close();
  });
  return (proxy.address() as AddressInfo).port; // it listens on TCP
}

describe("a context file of the nats command", () => {
  const home = { folder: "" };
  before(async () => {
    home.folder = await mkdtemp(join(tmpdir(), "k3s-nats-home-"));
    process.env["HOME"] = home.folder;
  });
  after(() => rm(home.folder, { recursive: true, force: true }));

  const users = 'authorization { users: [{ user: "u@x", password: "p:/w" }] }';

  test("may name user and password in its first url", async (t) => {
    const server = await startNats(t, { config: users });
    const url = `nats://u%40x:p%3A%2Fw@${server.endpoint}`;
    await tryOpen(t, { url });
    await tryOpen(t, { url, user: "other", password: "other" });
    const ignored = (await tryOpen(t, { url: `${url},nats://other:hunter2@127.0.0.1:1` })).join("\n");
    assert.match(ignored, /url: another user/);
    assert.doesNotMatch(ignored, /hunter2/);
    const withToken = await startNats(t, { config: 'authorization { token: "t0ken" }' });
    await tryOpen(t, { url: `nats://t0ken@${withToken.endpoint}` });
  });

  test("means its user where it names credentials as well", async (t) => {
    const server = await startNats(t, { config: users });
    const more = { creds: "/nonexistent.creds", nkey: "/nonexistent.nk", token: "other" };
    await tryOpen(t, { url: server.endpoint, user: "u@x", password: "p:/w", ...more });
  });

  test("names files in the home folder by ~/", async (t) => {
    const folder = join(home.folder, "nats");
    await mkdir(folder, { recursive: true });
    const files = await makeTlsFiles(folder);
    const own = (path: string) => path.replace(home.folder, "~");
    const { cert, key } = files.servingApiServer;
    const tls = `tls { cert_file: "${cert}", key_file: "${key}", timeout: 10, verify: true, ca_file: "${files.clientCa.cert}" }`;
    const operator = new JwtOperator();
    const server = await startNats(t, { config: `${tls}\n${operator.config}` });
    await writeFile(join(folder, "user.creds"), operator.user().creds);
    await tryOpen(t, {
      url: server.endpoint,
      ca: own(files.serverCa.cert),
      cert: own(files.clientAdmin.cert),
      key: own(files.clientAdmin.key),
      creds: "~/nats/user.creds",
    });
  });

  test("may hold a JWT and its seed", async (t) => {
    const operator = new JwtOperator();
    const server = await startNats(t, { config: operator.config });
    const { jwt, seed } = operator.user();
    await tryOpen(t, { url: server.endpoint, user_jwt: jwt, user_seed: seed });
  });

  test("names the seed of an nkey", async (t) => {
    const { publicKey, seed } = new JwtOperator().user();
    const server = await startNats(t, { config: `authorization { users: [{ nkey: ${publicKey} }] }` });
    await writeFile(join(home.folder, "user.nk"), `${seed}\n`);
    await tryOpen(t, { url: server.endpoint, nkey: "~/user.nk" });
  });

  test("may ask for TLS before the greeting", async (t) => {
    const folder = await tempFolder(t);
    const { servingApiServer, serverCa } = await makeTlsFiles(folder);
    const port = await startTlsFirst(t, await startNats(t), servingApiServer);
    await tryOpen(t, { url: `nats://localhost:${port}`, ca: serverCa.cert, tls_first: true });
  });

  test("is never used without TLS where its url begins with tls://", async (t) => {
    const server = await startNats(t);
    await assert.rejects(tryOpen(t, { url: `tls://${server.endpoint}` }), { code: "ERR_NATS_TLS" });
  });

  test("has its other fields named, unless they are empty or say nothing of the connection", async (t) => {
    const url = (await startNats(t)).endpoint;
    const quiet = { description: "x", color_scheme: "x", jetstream_domain: "", windows_ca_certs_match: null };
    assert.deepEqual(await tryOpen(t, { url, ...quiet, tls_first: false }), []);
    const ignored = (await tryOpen(t, { url, socks_proxy: "socks5://u:hunter2@h", jetstream_domain: "d" })).join("\n");
    for (const name of ["socks_proxy", "jetstream_domain"]) assert.match(ignored, new RegExp(name));
    assert.doesNotMatch(ignored, /hunter2/);
  });

  test("is never quoted in an error", async (t) => {
    for (const context of ['{"password":"hunter2', '{"url":"nats://u:%zzhunter2@host"}'])
      await assert.rejects(tryOpen(t, context), (error) => {
        assert.match(inspect(error), /ERR_NATS_FILE/);
        assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), /hunter2/);
        return true;
      });
  });
});

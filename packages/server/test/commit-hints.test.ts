import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test, type TestContext } from "node:test";
import { openStore, type CommitHints, type OpenStore } from "@k3s/datastore";
import { openMysqlDriver } from "@k3s/datastore-mysql";
import { ComponentManager } from "@k3s/lifecycle";
import { createLogger } from "@k3s/log";
import { MetricsRegistry } from "@k3s/metrics";
import { serverCredPaths, serverTlsPaths } from "@k3s/pki";
import { freePort, MariaDbServer, rangeOf, until, WatchRecorder, write } from "@k3s/testkit";
import { readPasswd } from "@k3s/token";
import { CommitHintSender } from "../src/commit-hint-sender.ts";
import { commitHints } from "../src/commit-hints.ts";
import { configured, identity, serve, type Configured } from "./support/peer.ts";

const NEVER_MS = 3_600_000;
const leaseKey = (address: string) => `/registry/masterleases/${address}`;

interface Server {
  readonly peer: Configured;
  readonly store: OpenStore;
  readonly metrics: MetricsRegistry;
  stop(): Promise<void>;
}

describe("servers on one MariaDB that do not ask it by themselves", () => {
  const undo = new AsyncDisposableStack();
  let mariadb: MariaDbServer;

  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), "k3s-hints-"));
    undo.defer(() => rm(folder, { recursive: true, force: true }));
    mariadb = undo.use(await MariaDbServer.start({ folder }));
  });
  after(() => undo.disposeAsync());

  /** As much of a server as it takes to be told: its datastore and its own port. */
  async function start(t: TestContext, place: { folder: string; address: string; port: number; name: string }) {
    const peer = await configured(place);
    const dsn = `root@unix(${mariadb.socketPath})/${place.name}`;
    const signal = AbortSignal.timeout(30_000);
    const driver = await openMysqlDriver({ dsn, pollMs: NEVER_MS, log: peer.log, signal });
    const store = await openStore(driver, { log: peer.log });
    t.after(() => store.close());
    const metrics = new MetricsRegistry();
    const datastore = { isShared: true, store: () => store, hints: () => driver.shared?.hints, metrics };
    const { routes, components } = commitHints({ config: peer.config, datastore, log: peer.log });
    const stopPort = await serve(t, peer, routes);
    const manager = new ComponentManager(components);
    t.after(() => manager.stop(AbortSignal.abort()));
    await manager.start(signal);
    const stop = async () => {
      await manager.stop(AbortSignal.abort());
      await stopPort();
    };
    return { peer, store, metrics, stop } satisfies Server;
  }

  /** Two servers that know each other. */
  async function startTwo(t: TestContext, name: string) {
    const folder = await identity(t);
    const port = await freePort();
    const place = (address: string) => ({ folder, port, address, name });
    const [a, b] = [await start(t, place("127.0.0.2")), await start(t, place("127.0.0.3"))];
    await a.store.txn(write(leaseKey("127.0.0.2"), 0, "{}"));
    await tell(b, { key: leaseKey("127.0.0.3"), to: a });
    return { a, b };
  }

  /** Writes until the other one has seen it: on a busy machine a hint may miss its time, and nothing but the next one makes up for it. */
  async function tell({ store }: Server, { key, to }: { readonly key: string; readonly to: Server }): Promise<void> {
    const seen = new WatchRecorder(to.store, rangeOf(key));
    let revision = 0;
    await until(`${key} is seen`, async () => {
      ({ revision } = await store.txn(write(key, revision, "{}")));
      return seen.events.length > 0;
    });
  }

  async function outcomes({ metrics }: Server, outcome: string): Promise<number> {
    const found = new RegExp(`k3s_datastore_hints_total\\{outcome="${outcome}"\\} (\\d+)`).exec(await metrics.text());
    return Number(found?.[1] ?? 0);
  }

  test("a watch is told of what another server wrote, both ways", async (t) => {
    const { a, b } = await startTwo(t, "both");
    await tell(a, { key: "/from/a", to: b });
    await tell(b, { key: "/from/b", to: a });
    for (const server of [a, b])
      for (const outcome of ["sent", "received"])
        await until("it was counted", async () => (await outcomes(server, outcome)) > 0);
  });

  test("a server that is gone keeps no write waiting", async (t) => {
    const { a, b } = await startTwo(t, "gone");
    await b.stop();
    const { revision } = await a.store.txn(write("/a", 0, "1"));
    await until("it was found to be away", async () => (await outcomes(a, "failed")) > 0);
    assert.ok((await a.store.txn(write("/a", revision, "2"))).succeeded);
    assert.doesNotMatch(a.peer.lines.join(""), /cannot be told/); // nothing that an operator has to know
  });
});

describe("CommitHintSender", () => {
  test("that is stopped tells nothing more", async (t) => {
    let asked = 0;
    let commit: (lastRow: number) => void = () => assert.fail("nobody listens");
    const outcomes: string[] = [];
    const sender = new CommitHintSender({
      hints: () => ({ onCommit: (listener) => (commit = listener), take: () => undefined }),
      servers: () => {
        asked += 1;
        return Promise.resolve(["https://127.0.0.1:1"]);
      },
      files: { caFile: "absent", certFile: "absent", keyFile: "absent" },
      onOutcome: (outcome) => outcomes.push(outcome),
      log: createLogger({ level: "error", format: "text", write: () => undefined }),
    });
    t.after(() => sender.stop());
    await sender.start();
    commit(7);
    assert.equal(asked, 1); // in the turn of the commit
    await until("it was told", () => Promise.resolve(outcomes.length > 0));
    await sender.stop();
    commit(8);
    assert.equal(asked, 1);
  });
});

describe("the route of hints", () => {
  interface Ask {
    readonly method?: string;
    readonly auth?: string;
    readonly pair?: { readonly cert: string; readonly key: string };
    readonly body?: string;
  }

  async function startRoute(t: TestContext, hints: CommitHints | undefined) {
    const folder = await identity(t);
    const peer = await configured({ folder, address: "127.0.0.2" });
    const { serverDir } = peer.config.paths;
    const metrics = new MetricsRegistry();
    const store = () => assert.fail("not asked");
    const datastore = { isShared: true, store, hints: () => hints, metrics };
    await serve(t, peer, commitHints({ config: peer.config, datastore, log: peer.log }).routes);
    const ca = await readFile(serverTlsPaths(serverDir).serverCa.cert);
    const users = await readPasswd(serverCredPaths(serverDir).passwd);
    const password = (user: string) => `${user}:${users.find((entry) => entry.user === user)?.password ?? ""}`;
    const pair = async ({ cert, key }: { cert: string; key: string }) => ({
      cert: await readFile(cert, "utf8"),
      key: await readFile(key, "utf8"),
    });
    const ask = ({ method = "POST", auth, pair: shown, body = '{"lastRow":7}' }: Ask) =>
      new Promise<number>((resolve, reject) => {
        const url = `https://127.0.0.2:${peer.config.httpsListenPort}/v1-k3s/datastore-hint`;
        const authorization = auth === undefined ? undefined : `Basic ${Buffer.from(auth).toString("base64")}`;
        const headers = { ...(authorization === undefined ? {} : { authorization }), "content-length": body.length };
        const options = { method, ca, agent: false, headers, ...shown };
        const call = request(url, options, (response) => {
          response.resume().on("end", () => resolve(response.statusCode ?? 0));
        });
        call.on("error", reject).end(body);
      });
    return { ask, password, pair, tls: serverTlsPaths(serverDir) };
  }

  test("takes them of servers and administrators alone", async (t) => {
    const rows: number[] = [];
    const { ask, password, pair, tls } = await startRoute(t, {
      onCommit: () => undefined,
      take: (row) => rows.push(row),
    });
    assert.equal(await ask({}), 403);
    assert.equal(await ask({ auth: password("node") }), 403);
    assert.equal(await ask({ pair: await pair(tls.clientController) }), 403);
    assert.deepEqual(rows, []);
    assert.equal(await ask({ auth: password("server") }), 200);
    assert.equal(await ask({ pair: await pair(tls.clientSupervisor), body: '{"lastRow":8}' }), 200);
    assert.deepEqual(rows, [7, 8]);
  });

  test("refuses what is no row, and other methods", async (t) => {
    const rows: number[] = [];
    const { ask, password } = await startRoute(t, { onCommit: () => undefined, take: (row) => rows.push(row) });
    const auth = password("server");
    for (const body of [
      "",
      "7",
      "{}",
      "null",
      '{"lastRow":"7"}',
      '{"lastRow":-1}',
      '{"lastRow":1e300}',
      '{"lastRow":1.5}',
    ])
      assert.equal(await ask({ auth, body }), 400, body);
    assert.equal(await ask({ auth, method: "GET" }), 405);
    assert.deepEqual(rows, []);
  });

  test("is not found where the database announces commits by itself", async (t) => {
    const { ask, password } = await startRoute(t, undefined);
    assert.equal(await ask({ auth: password("server") }), 404);
  });
});

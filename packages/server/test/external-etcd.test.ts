import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import type { BootstrapStore } from "@k3s/bootstrap-data";
import { StoreError } from "@k3s/datastore";
import { createLogger, type Logger } from "@k3s/log";
import { serverTlsPaths } from "@k3s/pki";
import { freePort, startEtcd, until } from "@k3s/testkit";
import { datastorePart } from "../src/datastore-part.ts";
import { ExternalEtcd } from "../src/external-etcd.ts";
import { ServerState } from "../src/server-state.ts";
import { loadConfig } from "./support/load-config.ts";

const never = new AbortController().signal;

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-server-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function etcd(t: TestContext) {
  const started = await startEtcd(await temporaryFolder(t), { program: "etcd-3.5" });
  t.after(() => started.program.stop());
  return started;
}

function logTo(lines: string[]): Logger {
  return createLogger({ level: "info", format: "json", write: (line) => void lines.push(line) });
}

/** A server's identity on a datastore, as far as it is made before kube-apiserver starts. */
async function startState(t: TestContext, flags: Readonly<Record<string, string>>) {
  const dataDir = await temporaryFolder(t);
  const loaded = await loadConfig({ "data-dir": dataDir, ...flags });
  const log = logTo([]);
  const part = datastorePart(loaded, { log, env: {} });
  t.after(() => part.component.stop(never));
  const lost = () => assert.fail("lost");
  await part.component.start({ signal: never, lost });
  const state = new ServerState({
    config: loaded,
    store: part.bootstrapStore,
    isShared: part.isShared,
    apiServerUrl: "https://127.0.0.1:6444",
    log,
  });
  await state.start({ signal: never, lost });
  return { part, config: loaded };
}

async function bootstrapStore(t: TestContext, url: string): Promise<BootstrapStore> {
  const component = new ExternalEtcd({ servers: [url], tls: {}, folder: "/", log: logTo([]) });
  t.after(() => component.stop());
  await component.start({ signal: never });
  return component.bootstrapStore;
}

describe("an external etcd", () => {
  test("keeps the identity of the cluster: the second server gets that of the first", async (t) => {
    const { url } = await etcd(t);
    const flags = { "datastore-endpoint": url, token: "hunter2" };
    const first = await startState(t, flags);
    const second = await startState(t, flags);
    const ca = (of: typeof first) => readFile(serverTlsPaths(of.config.paths.serverDir).serverCa.cert, "utf8");
    assert.equal(await ca(second), await ca(first));
    await assert.rejects(startState(t, { ...flags, token: "other" }), /encrypted with different token/);
  });

  test("is given to kube-apiserver as it is, and nobody of ours serves it", async (t) => {
    const text = "http://127.0.0.1:2379,http://127.0.0.1:2380";
    const part = datastorePart(await loadConfig({ "data-dir": await temporaryFolder(t), "datastore-endpoint": text }), {
      log: logTo([]),
      env: {},
    });
    assert.equal(part.etcd.servers, text);
    assert.equal(part.store, undefined);
    assert.equal(part.isShared, true);
  });

  test("SQLite is served by us, to one server", async (t) => {
    const part = datastorePart(await loadConfig({ "data-dir": await temporaryFolder(t) }), { log: logTo([]), env: {} });
    assert.deepEqual(part.etcd, { servers: "unix://kine.sock" });
    assert.equal(part.isShared, false);
    t.after(() => part.component.stop(never));
    await part.component.start({ signal: never, lost: () => assert.fail("lost") });
    assert.equal(part.store?.().currentRevision, 2); // kine's marker and its health key
  });

  test("is a bootstrap store in which only the first of two writers succeeds", async (t) => {
    const { url } = await etcd(t);
    const store = await bootstrapStore(t, url);
    const [a, b] = await Promise.all([store.create("/bootstrap/x", ""), store.create("/bootstrap/x", "b")]);
    assert.equal(Number(a) + Number(b), 1);
    assert.equal(await store.create("/bootstraq", "not of ours"), true);
    const [record, ...more] = await store.list("/bootstrap");
    assert.deepEqual(more, []);
    assert.equal(record?.key, "/bootstrap/x");
    assert.equal(await store.update(record.key, "c", record.modRevision - 1), false);
    assert.equal(await store.update(record.key, "c", record.modRevision), true);
    assert.equal((await store.list("/bootstrap"))[0]?.value, "c");
    assert.equal(await store.delete(record.key, record.modRevision), false);
  });

  test("rejects with unavailable when it is gone", async (t) => {
    const { url, program } = await etcd(t);
    const store = await bootstrapStore(t, url);
    await program.stop();
    await assert.rejects(store.list("/"), (error) => error instanceof StoreError && error.reason === "unavailable");
  });

  test("tells the log once that it went away, with the cure, and that it is back", async (t) => {
    const started = await etcd(t);
    const lines: string[] = [];
    const options = { servers: [started.url], tls: {}, folder: "/", log: logTo(lines), watchMs: 20 };
    const component = new ExternalEtcd(options);
    t.after(() => component.stop());
    await component.start({ signal: never });
    const said = (text: string) => lines.filter((line) => line.includes(text));
    await started.program.stop();
    await until("the log tells", () => Promise.resolve(said("does not answer").length > 0));
    await started.restart();
    await until("the log tells", () => Promise.resolve(said("answers again").length > 0));
    assert.equal(said("does not answer").length, 1);
    assert.match(said("does not answer")[0] ?? "", /"hint":"Check that etcd runs/);
  });

  test("is waited for, with a word in the log, until the start is called off", async (t) => {
    const lines: string[] = [];
    const servers = [`http://127.0.0.1:${await freePort()}`];
    const component = new ExternalEtcd({ servers, tls: {}, folder: "/", log: logTo(lines) });
    t.after(() => component.stop());
    const request = new AbortController();
    const starting = component.start({ signal: request.signal });
    await until("the log tells", () =>
      Promise.resolve(lines.some((line) => line.includes("waiting for the external"))),
    );
    request.abort(new Error("Received SIGINT"));
    await assert.rejects(starting, { message: "Received SIGINT" });
    const [server = ""] = servers;
    const refused = `Cannot reach etcd at ${server}: connect ECONNREFUSED ${new URL(server).host}`;
    assert.ok(lines[0]?.includes(`"error":"${refused}","hint":"Check that etcd runs`), lines[0]);
  });
});

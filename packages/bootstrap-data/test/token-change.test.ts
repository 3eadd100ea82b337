import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { StoreError } from "@k3s/datastore";
import { beginTokenChange, prepareBootstrap, saveBootstrap, type BootstrapStore } from "../src/index.ts";
import { parseContent } from "../src/content.ts";
import { recordKey } from "../src/find-record.ts";
import { decryptRecord, encryptRecord } from "../src/record.ts";
import { listFiles, makeServerDir, realStore, recordingLogger } from "./support.ts";

const [OLD, NEW] = ["secret", "changed"];
const PASSWD = "changed,server,server,k3s:server\n";

async function setUp(t: TestContext) {
  const { bootstrap: store } = await realStore(t);
  const { log, lines } = recordingLogger();
  const serverDir = await makeServerDir(t);
  const signal = AbortSignal.timeout(30_000);
  await saveBootstrap({ store, serverDir, token: OLD, log, signal });
  const begin = (changes: { store?: BootstrapStore; oldToken?: string } = {}) =>
    beginTokenChange({ store, serverDir, oldToken: OLD, newToken: NEW, passwd: PASSWD, log, ...changes });
  const start = (token: string) => prepareBootstrap({ store, serverDir, token, log, signal });
  return { store, serverDir, lines, begin, start };
}

async function keys(store: BootstrapStore): Promise<readonly string[]> {
  return (await store.list("/bootstrap")).map(({ key }) => key);
}

async function openWith(store: BootstrapStore, password: string): Promise<ReadonlyMap<string, string>> {
  const record = (await store.list(recordKey(password)))[0];
  const content = parseContent(await decryptRecord(record?.value ?? "", password));
  return new Map([...content].map(([member, file]) => [member, file.content.toString()]));
}

describe("beginTokenChange()", () => {
  test("moves the record: only the new token opens it, and the users in it are the new ones", async (t) => {
    const { store, begin } = await setUp(t);
    const old = (await store.list(recordKey(OLD)))[0]?.value ?? "";
    await (await begin()).finish();
    assert.deepEqual(await keys(store), [recordKey(NEW)]);
    const content = await openWith(store, NEW);
    assert.equal(content.size, 13);
    assert.equal(content.get("PasswdFile"), PASSWD);
    assert.equal(content.get("ServiceKey"), "content of tls/service.key\n");
    const moved = (await store.list(recordKey(NEW)))[0]?.value ?? "";
    await assert.rejects(decryptRecord(moved, OLD), { code: "ERR_BOOTSTRAP_UNDECRYPTABLE" });
    await assert.rejects(decryptRecord(old, NEW), { code: "ERR_BOOTSTRAP_UNDECRYPTABLE" });
  });

  test("keeps what the record has beyond the files of this server", async (t) => {
    const { store, begin } = await setUp(t);
    const record = (await store.list(recordKey(OLD)))[0];
    const text = await decryptRecord(record?.value ?? "", OLD);
    const more = text.replace("{", '{"EncryptionConfig":{"Timestamp":"2026-01-01T00:00:00Z","Content":"e30="},');
    await store.update(recordKey(OLD), await encryptRecord(more, OLD), record?.modRevision ?? 0);
    await (await begin()).finish();
    assert.equal((await openWith(store, NEW)).get("EncryptionConfig"), "{}");
  });

  test("leaves a server that is cut off able to start with either token", async (t) => {
    const { begin, start, serverDir } = await setUp(t);
    await begin();
    const before = await listFiles(serverDir);
    assert.deepEqual(await start(OLD), { kind: "reconciled", result: { kind: "unchanged" } });
    assert.deepEqual(await listFiles(serverDir), before);
    const { kind } = await start(NEW);
    assert.equal(kind, "reconciled");
    assert.equal((await listFiles(serverDir)).get("cred/passwd")?.text, PASSWD);
  });

  test("goes over what a change that was cut off left", async (t) => {
    const { store, begin } = await setUp(t);
    await begin();
    await (await begin()).finish();
    assert.deepEqual(await keys(store), [recordKey(NEW)]);
  });

  test("takes itself back", async (t) => {
    const { store, begin } = await setUp(t);
    const change = await begin();
    assert.equal((await keys(store)).length, 2);
    await change.undo();
    assert.deepEqual(await keys(store), [recordKey(OLD)]);
    await change.undo();
  });

  test("is told when another server changed the record meanwhile", async (t) => {
    const { store, begin } = await setUp(t);
    const change = await begin();
    const record = (await store.list(recordKey(OLD)))[0];
    await store.update(recordKey(OLD), record?.value ?? "", record?.modRevision ?? 0);
    await assert.rejects(change.finish(), { code: "ERR_BOOTSTRAP_RACED" });
  });

  test("changes nothing with a token that is not the one of the record", async (t) => {
    const { store, begin } = await setUp(t);
    await assert.rejects(begin({ oldToken: "other" }), { code: "ERR_BOOTSTRAP_TOKEN_MISMATCH" });
    assert.deepEqual(await keys(store), [recordKey(OLD)]);
  });

  test("counts as done when only the answer to the last step is lost, and says what may be left", async (t) => {
    const { store, begin, lines } = await setUp(t);
    const deaf: BootstrapStore = {
      ...store,
      delete: () => Promise.reject(new StoreError("unavailable", "the datastore is away")),
    };
    await (await begin({ store: deaf })).finish();
    assert.deepEqual((await keys(store)).toSorted(), [recordKey(OLD), recordKey(NEW)].toSorted());
    assert.match(lines.join(""), /the record of the old token may be left/);
  });
});

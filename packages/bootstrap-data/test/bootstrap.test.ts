import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, readdir, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { StoreError } from "@k3s/datastore";
import { ensureServerPki } from "@k3s/pki";
import { ensurePasswd } from "@k3s/token";
import {
  bootstrapPolicy,
  prepareBootstrap,
  saveBootstrap,
  type BootstrapPolicy,
  type BootstrapStore,
} from "../src/index.ts";
import { parseContent } from "../src/content.ts";
import { decryptRecord, encryptRecord } from "../src/record.ts";
import { claimOf, folder, listFiles, makeServerDir, put, realStore, recordingLogger } from "./support.ts";

const TOKEN = "secret";
const KEY = "/bootstrap/2bb80d537b1d";
const EMPTY_KEY = "/bootstrap/e3b0c44298fc";
const POLICY = { pollMs: 5, attemptTimeoutMs: 10_000, lockPatience: 3 };

async function setUp(t: TestContext, changes: { readonly policy?: BootstrapPolicy } = {}) {
  const { bootstrap } = await realStore(t);
  const { log, lines } = recordingLogger();
  const signal = AbortSignal.timeout(30_000);
  const serverDir = await makeServerDir(t);
  const options = { store: bootstrap, serverDir, token: TOKEN, log, signal, policy: POLICY, ...changes };
  return { store: bootstrap, serverDir, lines, options };
}

async function valueOf(store: BootstrapStore, key = KEY): Promise<string | undefined> {
  return (await store.list("/bootstrap")).find((entry) => entry.key === key)?.value;
}

describe("saveBootstrap()", () => {
  test("stores every file with its time, encrypted, and replaces nothing unasked", async (t) => {
    const { store, options, serverDir } = await setUp(t);
    assert.equal(await saveBootstrap(options), "created");
    const value = await valueOf(store);
    assert.ok(value);
    assert.ok(!value.includes("content"));
    const content = parseContent(await decryptRecord(value, TOKEN));
    assert.equal(content.size, 13);
    assert.equal(content.get("ServiceKey")?.content.toString(), "content of tls/service.key\n");
    const { mtimeNs } = await stat(join(serverDir, "cred/passwd"), { bigint: true });
    assert.equal(content.get("PasswdFile")?.timestamp, mtimeNs);

    await put(join(serverDir, "cred/passwd"), "other");
    assert.equal(await saveBootstrap(options), "exists");
    assert.equal(await valueOf(store), value);
    assert.equal(await saveBootstrap({ ...options, isOverriding: true }), "replaced");
    const replaced = parseContent(await decryptRecord((await valueOf(store)) ?? "", TOKEN));
    assert.equal(replaced.get("PasswdFile")?.content.toString(), "other");
  });

  test("puts the record in place of the empty lock", async (t) => {
    const { store, options } = await setUp(t);
    await store.create(KEY, "");
    assert.equal(await saveBootstrap(options), "replaced");
    assert.notEqual(await valueOf(store), "");
  });

  test("takes whole tokens for the password in them", async (t) => {
    const { store, options } = await setUp(t);
    await saveBootstrap({ ...options, token: `K10${"a".repeat(64)}::server:${TOKEN}` });
    assert.ok(await valueOf(store));
  });

  test("leaves out what is missing and says so; adds the encryption files when they are used", async (t) => {
    const { store, options, serverDir, lines } = await setUp(t);
    await rm(join(serverDir, "cred/ipsec.psk"));
    await put(join(serverDir, "cred/encryption-config.json"), "{}");
    await saveBootstrap({ ...options, hasSecretsEncryption: true });
    const content = parseContent(await decryptRecord((await valueOf(store)) ?? "", TOKEN));
    assert.equal(content.has("IPSECKey"), false);
    assert.equal(content.get("EncryptionConfig")?.content.toString(), "{}");
    assert.ok(lines.some((line) => line.includes("ipsec.psk")));
    assert.ok(lines.some((line) => line.includes("encryption-state.json")));
  });

  test("refuses a datastore that belongs to another token, and several records", async (t) => {
    const { store, options } = await setUp(t);
    await saveBootstrap({ ...options, token: "other" });
    await assert.rejects(saveBootstrap(options), {
      code: "ERR_BOOTSTRAP_TOKEN_MISMATCH",
      message: /bootstrap data already found and encrypted with different token/,
    });
    await store.create(KEY, await encryptRecord("{}\n", TOKEN));
    await assert.rejects(saveBootstrap({ ...options, isOverriding: true }), { code: "ERR_BOOTSTRAP_MULTIPLE" });
  });

  test("tells a lost race from success", async (t) => {
    const { store, options } = await setUp(t);
    await store.create(KEY, "");
    const racing: BootstrapStore = { ...store, update: () => Promise.resolve(false) };
    await assert.rejects(saveBootstrap({ ...options, store: racing }), { code: "ERR_BOOTSTRAP_RACED" });
  });
});

describe("prepareBootstrap() without a record", () => {
  test("locks the key of the token for the server that makes the identity", async (t) => {
    const { store, options } = await setUp(t);
    const { lockRevision } = await claimOf(options);
    assert.deepEqual(await store.list("/bootstrap"), [{ key: KEY, value: "", modRevision: lockRevision }]);
  });

  test("locks nothing while there is no token", async (t) => {
    const { store, options } = await setUp(t);
    assert.equal((await claimOf({ ...options, token: undefined })).lockRevision, 0);
    assert.deepEqual(await store.list("/bootstrap"), []);
  });

  test("refuses early when there is a record but no token", async (t) => {
    const { options } = await setUp(t);
    await saveBootstrap(options);
    await assert.rejects(prepareBootstrap({ ...options, token: undefined }), { code: "ERR_BOOTSTRAP_TOKEN_MISMATCH" });
  });

  test("waits for the server that holds the lock, then takes its identity", async (t) => {
    const { store, options, serverDir } = await setUp(t, { policy: { ...POLICY, lockPatience: 10_000 } });
    assert.equal((await prepareBootstrap(options)).kind, "must-save");
    const looked = Promise.withResolvers<undefined>();
    const watched: BootstrapStore = {
      ...store,
      list: async (prefix) => {
        const entries = await store.list(prefix);
        looked.resolve(undefined);
        return entries;
      },
    };
    const otherDir = join(await folder(t), "server");
    const waiting = prepareBootstrap({ ...options, store: watched, serverDir: otherDir });
    await looked.promise;
    await saveBootstrap(options);
    assert.equal((await waiting).kind, "reconciled");
    assert.deepEqual([...(await listFiles(otherDir)).keys()], [...(await listFiles(serverDir)).keys()]);
  });

  test("lets exactly one of several servers make the identity", async (t) => {
    const { options } = await setUp(t, { policy: { ...POLICY, lockPatience: 10_000 } });
    const servers = Array.from({ length: 4 }, () => prepareBootstrap(options));
    assert.equal((await Promise.race(servers)).kind, "must-save");
    await saveBootstrap(options);
    const kinds = (await Promise.all(servers)).map(({ kind }) => kind).sort();
    assert.deepEqual(kinds, ["must-save", "reconciled", "reconciled", "reconciled"]);
  });

  test("takes a lock that nobody follows up on for abandoned after its patience", async (t) => {
    const { store, options, lines } = await setUp(t);
    await store.create(KEY, "");
    assert.equal((await prepareBootstrap(options)).kind, "must-save");
    assert.ok(lines.some((line) => line.includes("Bootstrap key lock timed out - deleting lock and retrying")));
    assert.equal(await valueOf(store), "");
  });

  test("does not wait for locks where no other server can exist, whatever their token", async (t) => {
    const { store, options } = await setUp(t, { policy: { ...POLICY, pollMs: 3_600_000, lockPatience: 0 } });
    await store.create(KEY, "");
    await store.create("/bootstrap/aaaaaaaaaaaa", "");
    assert.equal((await prepareBootstrap(options)).kind, "must-save");
    assert.deepEqual(
      (await store.list("/bootstrap")).map(({ key }) => key),
      [KEY],
    );
  });

  test("ends with the reason of its signal while it waits", async (t) => {
    const { store, options } = await setUp(t, { policy: { ...POLICY, pollMs: 3_600_000 } });
    await store.create(KEY, "");
    const stopping = new AbortController();
    const waiting = prepareBootstrap({ ...options, signal: stopping.signal });
    stopping.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
  });

  test("asks again while the datastore is away or silent", async (t) => {
    const { store, options, lines } = await setUp(t, { policy: { ...POLICY, attemptTimeoutMs: 200 } });
    const failures = [
      () => Promise.reject(new StoreError("unavailable", "database is away")),
      () => new Promise<never>(() => undefined),
    ];
    const away: BootstrapStore = { ...store, list: (prefix) => failures.shift()?.() ?? store.list(prefix) };
    assert.equal((await prepareBootstrap({ ...options, store: away })).kind, "must-save");
    assert.equal(lines.filter((line) => line.includes("does not answer yet")).length, 2);
  });

  test("passes on what is no absence", async (t) => {
    const { store, options } = await setUp(t);
    const broken: BootstrapStore = { ...store, list: () => Promise.reject(new TypeError("bug")) };
    await assert.rejects(prepareBootstrap({ ...options, store: broken }), TypeError);
  });
});

describe("prepareBootstrap() with a record", () => {
  test("writes everything to an empty disk: folders 0700, files 0600 with the stored times", async (t) => {
    const { options, serverDir } = await setUp(t);
    await saveBootstrap(options);
    const fresh = join(await folder(t), "server");
    const preparation = await prepareBootstrap({ ...options, serverDir: fresh });
    assert.equal(preparation.kind, "reconciled");
    const [expected, actual] = [await listFiles(serverDir), await listFiles(fresh)];
    assert.equal(actual.size, 13);
    for (const [name, { text, mtimeMs, mode }] of actual) {
      assert.equal(text, expected.get(name)?.text);
      assert.ok(Math.abs(mtimeMs - (expected.get(name)?.mtimeMs ?? 0)) < 2, name);
      assert.equal(mode, 0o600);
    }
    for (const name of ["cred", "tls", "tls/etcd"]) assert.equal((await stat(join(fresh, name))).mode & 0o777, 0o700);
  });

  test("writes everything, newer files too, when one of the folders is empty", async (t) => {
    const { options, serverDir } = await setUp(t);
    await saveBootstrap(options);
    await put(join(serverDir, "tls/server-ca.crt"), "mine");
    await rm(join(serverDir, "tls/etcd"), { recursive: true });
    assert.equal((await prepareBootstrap(options)).kind, "reconciled");
    const files = await listFiles(serverDir);
    assert.equal(files.size, 13);
    assert.equal(files.get("tls/server-ca.crt")?.text, "content of tls/server-ca.crt\n");
  });

  test("touches nothing when disk and record agree, whatever the times", async (t) => {
    const { options, serverDir } = await setUp(t);
    await saveBootstrap(options);
    const now = new Date();
    await utimes(join(serverDir, "tls/server-ca.crt"), now, now);
    const before = await listFiles(serverDir);
    assert.deepEqual(await prepareBootstrap(options), { kind: "reconciled", result: { kind: "unchanged" } });
    assert.deepEqual(await listFiles(serverDir), before);
  });

  test("brings a missing and an older file back, and rewrites all", async (t) => {
    const { options, serverDir } = await setUp(t);
    await saveBootstrap(options);
    const before = await listFiles(serverDir);
    await rm(join(serverDir, "tls/server-ca.key"));
    await put(join(serverDir, "cred/passwd"), "stale", 500);
    const preparation = await prepareBootstrap(options);
    const paths = ["tls/server-ca.key", "cred/passwd"].map((name) => join(serverDir, name));
    assert.deepEqual(preparation, { kind: "reconciled", result: { kind: "restored", paths } });
    for (const [name, file] of await listFiles(serverDir)) {
      assert.equal(file.text, before.get(name)?.text);
      assert.ok(Math.abs(file.mtimeMs - (before.get(name)?.mtimeMs ?? 0)) < 2, name);
    }
  });

  for (const [what, aheadSeconds, isFatal] of [
    ["3 s newer", 3, true],
    ["2.9 s newer", 2.9, false],
    ["older", -50, false],
  ] as const) {
    test(`${isFatal ? "refuses" : "overwrites"} a different file that is ${what} than its copy`, async (t) => {
      const { options, serverDir } = await setUp(t);
      const path = join(serverDir, "tls/client-ca.crt");
      const base = new Date(Math.floor(Date.now() / 1000) * 1000 - 100_000);
      await utimes(path, base, base);
      await saveBootstrap(options);
      await put(path, "mine");
      const time = new Date(base.getTime() + aheadSeconds * 1000);
      await utimes(path, time, time);
      const before = await listFiles(serverDir);
      const prepared = prepareBootstrap(options);
      if (isFatal) {
        await assert.rejects(prepared, {
          code: "ERR_BOOTSTRAP_NEWER_ON_DISK",
          message: new RegExp(`${path} newer than datastore and could cause a cluster outage`),
          hint: "Remove the file(s) from disk and restart to be recreated from datastore",
        });
        assert.deepEqual(await listFiles(serverDir), before);
      } else {
        assert.equal((await prepared).kind, "reconciled");
        assert.equal((await listFiles(serverDir)).get("tls/client-ca.crt")?.text, "content of tls/client-ca.crt\n");
      }
    });
  }

  test("takes every different file for newer when the record is of an old release", async (t) => {
    const { store, options, serverDir } = await setUp(t);
    const passwd = Buffer.from("content of cred/passwd\n").toString("base64");
    const old = { PasswdFile: passwd, ServerCA: Buffer.from("other").toString("base64"), FutureFile: "AAAA" };
    await store.create(KEY, await encryptRecord(`${JSON.stringify(old)}\n`, TOKEN));
    await assert.rejects(prepareBootstrap(options), {
      code: "ERR_BOOTSTRAP_NEWER_ON_DISK",
      message: /server-ca\.crt newer/,
    });
    await rm(join(serverDir, "tls/server-ca.crt"));
    assert.equal((await prepareBootstrap(options)).kind, "reconciled");
    assert.equal((await listFiles(serverDir)).get("tls/server-ca.crt")?.text, "other");
  });

  test("lets the record win in a cluster reset, after a copy of tls", async (t) => {
    const { options, serverDir } = await setUp(t);
    await saveBootstrap(options);
    await put(join(serverDir, "tls/server-ca.crt"), "mine");
    const preparation = await prepareBootstrap({ ...options, isClusterReset: true });
    assert.ok(preparation.kind === "reconciled" && preparation.result.kind === "restored");
    const { backup } = preparation.result;
    assert.match(backup ?? "", /\/tls-\d+$/);
    const files = await listFiles(serverDir);
    assert.equal(files.get("tls/server-ca.crt")?.text, "content of tls/server-ca.crt\n");
    assert.equal((await listFiles(backup ?? "")).get("server-ca.crt")?.text, "mine");
  });

  test("refuses another token and leaves disk and datastore alone", async (t) => {
    const { store, options, serverDir } = await setUp(t);
    await saveBootstrap(options);
    const [files, records] = [await listFiles(serverDir), await store.list("/")];
    await assert.rejects(prepareBootstrap({ ...options, token: "wrong" }), {
      code: "ERR_BOOTSTRAP_TOKEN_MISMATCH",
      message: /bootstrap data already found and encrypted with different token/,
      hint: /server\/token/,
    });
    assert.deepEqual(await listFiles(serverDir), files);
    assert.deepEqual(await store.list("/"), records);
  });

  test("refuses a damaged record", async (t) => {
    const { store, options } = await setUp(t);
    await store.create(KEY, "rubbish");
    await assert.rejects(prepareBootstrap(options), {
      code: "ERR_BOOTSTRAP_MALFORMED",
      message: /invalid cipher text, not : delimited/,
    });
  });

  for (const [what, key, oldToken, token] of [
    ["the empty token", EMPTY_KEY, "", TOKEN],
    ["the whole token", undefined, `K10${"b".repeat(64)}::server:${TOKEN}`, `K10${"b".repeat(64)}::server:${TOKEN}`],
  ] as const) {
    test(`moves a record that an old release wrote under ${what}`, async (t) => {
      const { store, options } = await setUp(t);
      await saveBootstrap(options);
      const content = await decryptRecord((await valueOf(store)) ?? "", TOKEN);
      const [record] = await store.list("/bootstrap");
      assert.ok(record && (await store.delete(record.key, record.modRevision)));
      const hashed = `/bootstrap/${createHash("sha256").update(oldToken).digest("hex").slice(0, 12)}`;
      assert.equal(hashed, key ?? hashed);
      await store.create(hashed, await encryptRecord(content, oldToken));
      const preparation = await prepareBootstrap({ ...options, token });
      assert.deepEqual(preparation, { kind: "reconciled", result: { kind: "unchanged" } });
      assert.deepEqual(
        (await store.list("/bootstrap")).map((entry) => entry.key),
        [KEY],
      );
      assert.equal(await decryptRecord((await valueOf(store)) ?? "", TOKEN), content);
    });
  }

  test("says which file it cannot use", async (t) => {
    const { options, serverDir } = await setUp(t);
    await saveBootstrap(options);
    await rm(join(serverDir, "tls/service.key"));
    await mkdir(join(serverDir, "tls/service.key"));
    await assert.rejects(prepareBootstrap(options), { code: "ERR_BOOTSTRAP_FILE_UNUSABLE", message: /service\.key/ });
  });
});

describe("a second server on the same datastore", () => {
  test("gets the identity of the first and makes its own leaves below the same CAs", async (t) => {
    const { options } = await setUp(t);
    const first = join(await folder(t), "server");
    const second = join(await folder(t), "server");
    const pki = (serverDir: string) =>
      ensureServerPki({ serverDir, clusterDomain: "c", sans: ["a"], apiServerUrl: "https://127.0.0.1:6444" });
    assert.equal((await prepareBootstrap({ ...options, serverDir: first })).kind, "must-save");
    await ensurePasswd({ serverDir: first, token: TOKEN, agentToken: undefined });
    await pki(first);
    assert.equal(await saveBootstrap({ ...options, serverDir: first }), "replaced");

    assert.equal((await prepareBootstrap({ ...options, serverDir: second })).kind, "reconciled");
    assert.equal((await ensurePasswd({ serverDir: second, token: TOKEN, agentToken: undefined })).isChanged, false);
    await pki(second);
    const [one, two] = [await listFiles(first), await listFiles(second)];
    for (const name of ["tls/server-ca.key", "tls/service.key", "cred/passwd", "cred/ipsec.psk"]) {
      assert.equal(two.get(name)?.text, one.get(name)?.text, name);
    }
    assert.notEqual(two.get("tls/client-admin.key")?.text, one.get("tls/client-admin.key")?.text);

    for (const serverDir of [first, second]) {
      assert.deepEqual(await prepareBootstrap({ ...options, serverDir }), {
        kind: "reconciled",
        result: { kind: "unchanged" },
      });
      assert.deepEqual((await pki(serverDir)).made, []);
    }
    assert.deepEqual((await readdir(first)).sort(), ["cred", "tls"]);
  });
});

describe("bootstrapPolicy", () => {
  test("has the values of k3s", () => {
    assert.deepEqual(bootstrapPolicy, { pollMs: 5000, attemptTimeoutMs: 10_000, lockPatience: 5 });
  });
});

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { startEtcd } from "@k3s/testkit";
import { commandLine, run, temporaryFolder } from "./cli-process.ts";
import { node, sql } from "./datastore-node.ts";
import { etcdctl, serveDatastore } from "./datastore-server.ts";

/** What pages begin with (sqlite.org/fileformat2.html, 1.6). */
const INDEX_LEAF = 0x0a;
const TABLE_LEAF = 0x0d;

interface Status {
  readonly datastore: string;
  readonly server: { readonly version: string } | null;
  readonly usedBy: string | null;
  readonly sizeBytes: number;
  readonly keys: number;
  readonly rows: { readonly total: number; readonly replaced: number; readonly awaitingRemoval: number } | null;
  readonly revision: number;
  readonly compactRevision: number | null;
  readonly leases: { readonly count: number; readonly oldest: { readonly ttlSeconds: number } | null };
  readonly slowestStatements: readonly { readonly name: string; readonly seconds: number }[] | null;
  readonly findings: readonly string[] | null;
}

/** What a tool printed as JSON. */
async function json<T>(t: TestContext, args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await run(t, ["datastore", ...args, "--json"]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as T;
}

describe("k3s datastore status", () => {
  test("tells of the node's datastore while its server runs, and after it has ended", async (t) => {
    const { dataDir, file, serve, ctl } = await node(t);
    const server = await serve();
    for (const value of ["1", "2", "3"]) await ctl("put", "/a", value);
    await ctl("lease", "grant", "500");
    const running = await json<Status>(t, ["status", `--data-dir=${dataDir}`]);
    assert.equal(running.datastore, file);
    assert.deepEqual(running.server, { version: "3.6.11" });
    assert.deepEqual([running.keys, running.revision, running.compactRevision], [1, 4, 0]);
    assert.deepEqual([running.rows?.total, running.rows?.replaced], [4, 2]);
    assert.equal(running.leases.oldest?.ttlSeconds, 500);
    assert.ok(running.sizeBytes > 0);
    assert.ok(running.slowestStatements?.some(({ name, seconds }) => name === "commit" && seconds > 0));
    assert.deepEqual(running.findings, []);

    assert.equal(await server.stop(), 0);
    const stopped = await json<Status>(t, ["status", `--data-dir=${dataDir}`]);
    assert.deepEqual([stopped.server, stopped.slowestStatements], [null, null]);
    assert.deepEqual([stopped.keys, stopped.revision], [1, 4]);
  });

  test("names the process that serves the file elsewhere, as compact does", async (t) => {
    const { dataDir, file } = await node(t);
    const { pid } = await serveDatastore(t, [`--endpoint=sqlite://${file}`]);
    const status = await json<Status>(t, ["status", `--data-dir=${dataDir}`]);
    assert.deepEqual([status.server, status.usedBy], [null, String(pid)]);
    const { stdout } = await run(t, ["datastore", "status", `--endpoint=sqlite://${file}`]);
    assert.match(stdout, new RegExp(`^server: +process ${pid} uses it and tells more at its own address`, "m"));
    const { stderr } = await run(t, ["datastore", "compact", `--data-dir=${dataDir}`]);
    assert.match(stderr, new RegExp(`in use by process ${pid}`));
    assert.match(stderr, /Hint: .*--endpoint http:\/\/HOST:PORT/);
  });

  test("finds the endpoint in the node's config file", async (t) => {
    const folder = await temporaryFolder(t);
    const config = join(folder, "config.yaml");
    await writeFile(config, `datastore-endpoint: sqlite://${folder}/mine.db\ncluster-init: true\n`);
    await (await serveDatastore(t, [`--endpoint=sqlite://${folder}/mine.db`])).stop();
    const { code, stdout } = await run(t, ["datastore", "status"], { env: { K3S_CONFIG_FILE: config } });
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^datastore: +${folder}/mine\\.db$`, "m"));
    assert.match(stdout, /^revisions: +1 to 1, compacted up to 0$/m);
    assert.match(
      stdout,
      /^integrity: +rows are consistent, their values were not read; k3s datastore check looks deeper$/m,
    );
  });

  test("asks a server of ours, or a real etcd, by its address", async (t) => {
    const folder = await temporaryFolder(t);
    const etcd = await startEtcd(folder, { program: "etcd-3.5" });
    t.after(() => etcd.program.stop());
    const ours = await serveDatastore(t, [`--endpoint=sqlite://${folder}/x.db`]);
    for (const [url, ofOurs] of [
      [etcd.url, false],
      [`http://${ours.endpoint}`, true],
    ] as const) {
      await etcdctl([`--endpoints=${url}`, "put", "/a", "1"]);
      await etcdctl([`--endpoints=${url}`, "lease", "grant", "300"]);
      const status = await json<Status>(t, ["status", `--endpoint=${url}`]);
      assert.equal(status.keys, 1);
      assert.equal(status.leases.oldest?.ttlSeconds, 300);
      assert.equal(status.slowestStatements !== null, ofOurs);
      assert.equal(status.rows, null);
      assert.equal(status.compactRevision, 0);
      await etcdctl([`--endpoints=${url}`, "compact", "2"]);
      assert.equal((await json<Status>(t, ["status", `--endpoint=${url}`])).compactRevision, 2);
    }
  });

  test("says what is wrong in one error", async (t) => {
    const folder = await temporaryFolder(t);
    const cases = [
      [[`--data-dir=${folder}`], /there is no such file/, "ERR_SQLITE_ABSENT"],
      [["--endpoint=sqlite:///none.db?_sync=x"], /_sync is "x"/, "ERR_ENDPOINT_MALFORMED"],
      [["--endpoint=127.0.0.1:2379"], /has no scheme[^]*Hint: .*http:\/\/.*unix:\/\//, "ERR_ENDPOINT_SCHEME"],
      [["--endpoint=mariadb://u:hunter2@h"], /its scheme is not known/, "ERR_ENDPOINT_SCHEME"],
      [
        ["--endpoint=https://127.0.0.1:1", "--cert-file=/dev/null"],
        /--key-file must be given together with the certificate/,
        "ERR_USAGE_SETTINGS",
      ],
      [["--endpoint=http://127.0.0.1:1"], /Cannot reach etcd at http:\/\/127\.0\.0\.1:1/, "ERR_ETCD_UNREACHABLE"],
      [["--data-dir=here"], /--data-dir must be an absolute path/, "ERR_CONFIG_INVALID"],
    ] as const;
    for (const [args, message, code] of cases) {
      const ended = await run(t, ["datastore", "status", ...args]);
      assert.equal(ended.code, 1, args.join(" "));
      assert.match(ended.stderr, message);
      assert.ok(ended.stderr.includes(`Code:  ${code}\n`), ended.stderr);
      assert.doesNotMatch(ended.stderr, /hunter2|at .*\.ts:/);
    }
  });
});

describe("k3s datastore on a file whose pages were written over", () => {
  /** A file with rows enough for many pages, of which those are spoilt that begin with `kind`, but the first ones. */
  async function spoilt(t: TestContext, kind: number) {
    const { file, serve } = await node(t);
    await (await serve()).stop();
    await sql(
      file,
      `WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
       INSERT INTO kine SELECT i, '/k' || i, 1, 0, 0, 0, 0, zeroblob(500), NULL FROM n`,
    );
    const bytes = await readFile(file);
    const pages = Array.from({ length: bytes.length / 4096 - 1 }, (_, i) => (i + 1) * 4096);
    const found = pages.filter((at) => bytes[at] === kind).slice(10);
    assert.ok(found.length > 0);
    for (const at of found) bytes.fill(0x5a, at, at + 4096);
    await writeFile(file, bytes);
    return { endpoint: `--endpoint=sqlite://${file}`, cure: `can be read with: sqlite3 ${file} .recover` };
  }

  test("tells the cure where heads cannot be read, and check looks on", async (t) => {
    const { endpoint, cure } = await spoilt(t, INDEX_LEAF);
    for (const tool of ["status", "dump", "compact", "serve"]) {
      const listen = tool === "serve" ? ["--listen-address=127.0.0.1:0"] : [];
      const { code, stderr } = await run(t, ["datastore", tool, endpoint, ...listen]);
      assert.equal(code, 1, tool);
      assert.match(stderr, /ERR_SQLITE_CORRUPT/, tool);
      assert.ok(stderr.includes(cure), stderr);
    }
    const check = await run(t, ["datastore", "check", endpoint]);
    assert.equal(check.code, 1);
    assert.match(check.stdout, /WRONG: the rows cannot be read to their end/);
    assert.match(check.stdout, /checked 0 leases/);
    assert.ok(check.stdout.includes(cure), check.stdout);
  });

  test("tells the cure where only values cannot be read, which status does not claim to know", async (t) => {
    const { endpoint, cure } = await spoilt(t, TABLE_LEAF);
    const check = await run(t, ["datastore", "check", endpoint]);
    assert.equal(check.code, 1);
    assert.match(check.stdout, /WRONG: /);
    assert.match(check.stdout, /checked 2992 rows/);
    assert.ok(check.stdout.includes(cure), check.stdout);
    const status = await run(t, ["datastore", "status", endpoint]);
    assert.doesNotMatch(status.stdout, /rows are consistent$/m);
  });
});

describe("k3s datastore compact", () => {
  test("has the running server do it", async (t) => {
    const { dataDir, serve, ctl } = await node(t);
    await serve();
    for (const value of ["1", "2", "3"]) await ctl("put", "/a", value);
    const { code, stdout } = await run(t, ["datastore", "compact", `--data-dir=${dataDir}`, "--revision=3"]);
    assert.equal(code, 0);
    assert.match(stdout, /compacted up to revision 3, its server removes old rows now/);
    await assert.rejects(ctl("get", "/a", "--rev=2"), /required revision has been compacted/);
  });

  test("does it itself when no server runs, and waits until the rows are gone", async (t) => {
    const { dataDir, serve, ctl } = await node(t);
    const server = await serve();
    for (let i = 0; i < 10; i++) await ctl("put", "/a", String(i));
    await server.stop();
    const args = ["compact", `--data-dir=${dataDir}`, "--retain=3"];
    const { compactRevision, removedRows } = await json<{ compactRevision: number; removedRows: number }>(t, args);
    assert.deepEqual([compactRevision, removedRows], [8, 6]);
    const status = await json<Status>(t, ["status", `--data-dir=${dataDir}`]);
    assert.deepEqual([status.compactRevision, status.rows?.total, status.rows?.awaitingRemoval], [8, 5, 0]);
  });

  test("waits for no row of a change that is not compacted as a whole, or that a watch can still tell", async (t) => {
    const { dataDir, serve, ctl } = await node(t);
    const server = await serve();
    for (const key of ["/b/1", "/b/2", "/b/3"]) await ctl("put", key, "x");
    await ctl("del", "/b/", "--prefix"); // rows 5 to 7, revision 7
    await server.stop();
    for (const revision of [5, 7]) {
      const { removedRows } = await json<{ removedRows: number }>(t, [
        "compact",
        `--data-dir=${dataDir}`,
        `--revision=${revision}`,
      ]);
      const status = await json<Status>(t, ["status", `--data-dir=${dataDir}`]);
      assert.deepEqual([removedRows, status.compactRevision, status.rows?.awaitingRemoval], [0, revision, 0]);
    }
  });

  test("is content when there is nothing to forget, with a server and without", async (t) => {
    const { dataDir, socket, serve, ctl } = await node(t);
    const server = await serve();
    const compact = async (target: string, ...args: string[]) => {
      const { code, stdout, stderr } = await run(t, ["datastore", "compact", target, ...args]);
      assert.equal(code, 0, stderr);
      return stdout;
    };
    const forgotten = /: there is nothing to forget, what is older than revision 2 has been compacted before\n$/;
    const little =
      /: there is nothing to forget, its revision is 3, so all of its history is among the last 1000 revisions\n$/;
    for (const value of ["1", "2"]) await ctl("put", "/a", value);
    assert.match(await compact(`--endpoint=${socket}`), little);
    assert.match(await compact(`--endpoint=${socket}`, "--retain=1"), /compacted up to revision 2/);
    assert.match(await compact(`--endpoint=${socket}`, "--retain=1"), forgotten);
    assert.match(await compact(`--endpoint=${socket}`, "--revision=2"), forgotten);
    const running = await json<{ compactRevision: number }>(t, ["compact", `--endpoint=${socket}`]);
    assert.equal(running.compactRevision, 2);
    await server.stop();
    assert.match(await compact(`--data-dir=${dataDir}`), little);
    assert.match(await compact(`--data-dir=${dataDir}`, "--retain=1"), forgotten);
    const stopped = await json<{ compactRevision: number }>(t, ["compact", `--data-dir=${dataDir}`]);
    assert.equal(stopped.compactRevision, 2);
  });

  test("refuses what cannot be, with the cure", async (t) => {
    const { dataDir, file, socket, serve } = await node(t);
    await serve();
    const cases = [
      [[`--endpoint=sqlite://${file}`, "--revision=1"], /a server uses it/, /--endpoint unix:/],
      [[`--endpoint=${socket}`, "--revision=99"], /required revision is a future revision/, /status/],
      [[`--data-dir=${dataDir}`, "--revision=x"], /--revision must be a whole number/, /--help/],
    ] as const;
    for (const [args, message, hint] of cases) {
      const { code, stderr } = await run(t, ["datastore", "compact", ...args]);
      assert.equal(code, 1);
      assert.match(stderr, message);
      assert.match(stderr.split("Hint:")[1] ?? "", hint);
    }
  });
});

describe("k3s datastore dump", () => {
  test("prints the same with a server and without, and what etcdctl prints", async (t) => {
    const { dataDir, serve, ctl } = await node(t);
    const server = await serve();
    await ctl("put", "/a/1", "one");
    await ctl("put", "/a/1", "two");
    await ctl("put", "/b", "gone");
    await ctl("del", "/b");
    await ctl("put", "/a/\x01", "binary");
    await ctl("put", "compact_rev_key", "7");
    await ctl("put", "--", "12", "a number");
    const dump = async (...args: string[]) =>
      (await run(t, ["datastore", "dump", `--data-dir=${dataDir}`, ...args])).stdout;
    const live = [await dump(), await dump("--json"), await dump("--prefix=/a/1")];
    const keys = (await ctl("get", "", "--from-key", "--keys-only")).split("\n").filter(Boolean);
    assert.equal(live[0]?.trim().split("\n").length, keys.length);
    assert.equal(live[2], "/a/1\trevision 3\t3 bytes\n");
    assert.ok(live[1]?.includes('{"key":"/a/1","valueBase64":"dHdv","createRevision":2,"modRevision":3}\n'));
    assert.ok(live[1]?.includes('"keyBase64":"L2EvAQ=="'));
    assert.ok(live[1]?.includes('"key":"compact_rev_key","valueBase64":"Nw=="'));
    await server.stop();
    assert.deepEqual([await dump(), await dump("--json"), await dump("--prefix=/a/1")], live);
  });

  test("says in its help how to get the values", async (t) => {
    const { stdout } = await run(t, ["datastore", "dump", "--help"]);
    assert.match(stdout, /size of its value; --json prints the values/);
  });

  test("reads many pages", async (t) => {
    const { dataDir, file, serve } = await node(t);
    await (await serve()).stop();
    await sql(
      file,
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
       INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value)
       SELECT '/many/' || i, 1, 0, 0, 0, 0, CAST(i AS BLOB) FROM n`,
    );
    const count = async () =>
      (await run(t, ["datastore", "dump", `--data-dir=${dataDir}`, "--prefix=/many/"])).stdout.split("\n").length - 1;
    assert.equal(await count(), 1200);
    await serve();
    assert.equal(await count(), 1200);
  });

  test("ends without a word when its reader has seen enough", async (t) => {
    const { dataDir, serve } = await node(t);
    await (await serve()).stop();
    const [file = "", ...args] = commandLine(["datastore", "dump", `--data-dir=${dataDir}`]);
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], env: { K3S_CONFIG_FILE: "/dev/null" } });
    t.after(() => child.kill("SIGKILL"));
    child.stdout.destroy();
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    const [code] = (await once(child, "close")) as [number | null];
    assert.deepEqual([code, stderr], [0, ""]);
  });
});

import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { DriverError, emptyBatch, openStore, type Driver, type NewRow } from "@k3s/datastore";
import { createLogger } from "@k3s/log";
import { MetricsRegistry } from "@k3s/metrics";
import { driverConformance, until } from "@k3s/testkit";
import { DatastoreMetrics, openDatastore, parseEndpoint, type DriverEndpoint } from "../src/index.ts";

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-endpoint-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

function driverEndpoint(text: string): DriverEndpoint {
  const endpoint = parseEndpoint(text);
  return endpoint.kind === "etcd" ? assert.fail() : endpoint;
}

interface Opened {
  readonly driver: Driver;
  readonly folder: string;
  readonly lines: readonly string[];
  readonly metrics: MetricsRegistry;
}

async function open(t: TestContext, text: string, slowMs = 1000): Promise<Opened> {
  const folder = await temporaryFolder(t);
  const lines: string[] = [];
  const metrics = new MetricsRegistry();
  const driver = await openDatastore({
    endpoint: driverEndpoint(text),
    folder,
    tls: {},
    log: createLogger({ level: "info", format: "json", write: (line) => void lines.push(line) }),
    signal: new AbortController().signal,
    metrics: new DatastoreMetrics(metrics),
    slow: { infoMs: slowMs, warnMs: 5000 },
  });
  t.after(() => driver.close());
  return { driver, folder, lines, metrics };
}

function row(id: number, name: string): NewRow {
  const flags = { created: true, deleted: false, createRevision: 0, prevRevision: 0, ttlSeconds: 0, lease: 0n };
  return { id, name, ...flags, value: Buffer.from("v") };
}

driverConformance("SQLite, opened by its endpoint and measured", async (t) => (await open(t, "")).driver);

describe("openDatastore()", () => {
  test("opens SQLite where the endpoint says", async (t) => {
    const { folder } = await open(t, "sqlite://./elsewhere/x.db");
    assert.ok((await stat(join(folder, "elsewhere/x.db"))).isFile());
  });

  test("warns of a weaker durability than the default's", async (t) => {
    const { lines } = await open(t, "sqlite://?_synchronous=NORMAL");
    assert.match(lines.join(""), /"level":"warn".*_synchronous=NORMAL.*power failure/);
  });

  test("says nothing about an endpoint that is well", async (t) => {
    const { lines } = await open(t, "sqlite://?_journal_mode=WAL");
    assert.doesNotMatch(lines.join(""), /warn/);
  });

  test("leaves the log of the file alone when checkpoints are somebody else's", async (t) => {
    const fill = async (endpoint: string) => {
      const { driver, folder } = await open(t, endpoint);
      const value = Buffer.alloc(1 << 20, 1);
      for (let id = 1; id <= 12; id++)
        await driver.commit({ ...emptyBatch, after: id - 1, rows: [{ ...row(id, `/${id}`), value }] });
      return async () => (await stat(join(folder, "db/state.db"))).size;
    };
    const sizeOfOwn = await fill("sqlite://");
    await until("the log is written back", async () => (await sizeOfOwn()) > 4 << 20);
    const sizeOfTheirs = await fill("litestream://");
    assert.ok((await sizeOfTheirs()) < 1 << 20);
  });

  test("leaves the log where it is at the end too, and knows at the next start that nobody was killed", async (t) => {
    const folder = await temporaryFolder(t);
    const file = join(folder, "db/state.db");
    const lines: string[] = [];
    const log = createLogger({ level: "info", format: "json", write: (line) => void lines.push(line) });
    const place = { endpoint: driverEndpoint("litestream://"), folder, tls: {}, log };
    const opened = () => openDatastore({ ...place, signal: new AbortController().signal });
    const first = await opened();
    t.after(() => first.close());
    await first.commit({ ...emptyBatch, rows: [row(1, "/a")] });
    const before = await readFile(`${file}-wal`);
    await first.close();
    assert.deepEqual([(await readFile(`${file}-wal`)).equals(before), before.length > 0], [true, true]);

    lines.length = 0;
    const second = await opened();
    t.after(() => second.close());
    assert.deepEqual(
      (await second.heads(0, 9)).map(({ name }) => name),
      ["/a"],
    );
    assert.doesNotMatch(lines.join(""), /was not closed/);
    await assert.rejects(stat(`${file}.closed`), { code: "ENOENT" });
    await second.commit({ ...emptyBatch, after: 1, rows: [row(2, "/b")] });
    const killed = await temporaryFolder(t);
    await cp(folder, killed, { recursive: true, filter: (source) => !source.endsWith(".lock") });
    await second.close();
    const third = await openDatastore({ ...place, folder: killed, signal: new AbortController().signal });
    t.after(() => third.close());
    assert.match(lines.join(""), /was not closed/);
    assert.equal((await third.heads(0, 9)).length, 2);
  });
});

describe("a measured driver", () => {
  test("counts statements, rows and compactions under kine's names", async (t) => {
    const { driver, metrics } = await open(t, "");
    await driver.commit({ ...emptyBatch, rows: [row(1, "/a"), row(2, "/b")] });
    await driver.commit({ ...emptyBatch, after: 2, compactRevision: 1 });
    await assert.rejects(driver.commit({ ...emptyBatch, after: 2, rows: [row(1, "/a")] }), DriverError);
    await driver.heads(0, 10);
    const text = await metrics.text();
    assert.match(text, /^kine_sql_total\{name="commit",error_code=""\} 2$/m);
    assert.match(text, /^kine_sql_total\{name="commit",error_code="SQLITE_CONSTRAINT_[A-Z]+"\} 1$/m);
    assert.match(text, /^kine_sql_total\{name="heads",error_code=""\} 1$/m);
    assert.match(text, /^kine_sql_time_seconds_bucket\{name="heads",error_code="",le="8\.192"\} 1$/m);
    assert.match(text, /^kine_sql_time_seconds_count\{name="commit",error_code=""\} 2$/m);
    assert.match(text, /^kine_compact_total\{result="success"\} 1$/m);
    assert.match(text, /^kine_insert_errors_total\{retriable="true"\} 1$/m);
    assert.match(text, /^k3s_datastore_commit_rows_sum 2$/m);
    assert.match(text, /^k3s_datastore_slowest_statement_seconds\{name="commit"\} 0\.\d+$/m);
  });

  test("tells of a slow statement with its table and the cure", async (t) => {
    const { driver, lines, metrics } = await open(t, "", 0.000_001);
    await driver.commit({ ...emptyBatch, rows: [row(1, "/a")] });
    const line = lines.find((text) => text.includes('"statement":"commit"')) ?? "";
    assert.match(line, /"level":"info".*"table":"kine".*"rows":1.*"cure":".*disk.*slow statement/);
    assert.match(await metrics.text(), /^k3s_datastore_slow_statements_total\{name="commit",severity="info"\} 1$/m);
  });

  test("names the table that the statement was about, and a cure for what makes it slow", async (t) => {
    const { driver, lines } = await open(t, "", 0.000_001);
    await driver.side();
    await driver.defragment();
    const told = (statement: string) => lines.find((text) => text.includes(`"statement":"${statement}"`)) ?? "";
    assert.match(told("side"), /"table":"kine_lease, kine_lease_row, kine_span".*"cure":".*k3s datastore compact/);
    assert.match(told("defragment"), /"table":"kine, kine_lease.*"cure":".*when little is written/);
  });

  test("says nothing when the threshold is 0", async (t) => {
    const { driver, lines } = await open(t, "", 0);
    await driver.commit({ ...emptyBatch, rows: [row(1, "/a")] });
    assert.doesNotMatch(lines.join(""), /slow/);
  });

  test("shows its connections under the names of Go's exporter, as kine does", async (t) => {
    const { driver, metrics } = await open(t, "");
    const read = async () => {
      const samples = (await metrics.text()).matchAll(/^go_sql_(\w+)\{db_name="kine"\} (.*)$/gm);
      return Object.fromEntries(Array.from(samples, ([, name = "", value]) => [name, Number(value)]));
    };
    const idle = {
      ...{ max_open_connections: 2, in_use_connections: 0, wait_count_total: 0, wait_duration_seconds_total: 0 },
      ...{ max_idle_closed_total: 0, max_idle_time_closed_total: 0, max_lifetime_closed_total: 0 },
    };
    // The connection for reading is opened by what is read first.
    assert.deepEqual(await read(), { ...idle, open_connections: 1, idle_connections: 1 });
    const reads = [driver.heads(0, 10), driver.heads(0, 10), driver.heads(0, 10)];
    const busy = await read();
    assert.deepEqual([busy["open_connections"], busy["in_use_connections"], busy["idle_connections"]], [2, 1, 1]);
    await Promise.all(reads);
    const { wait_duration_seconds_total: waited = 0, ...after } = await read();
    const { wait_duration_seconds_total: _none, ...quiet } = idle;
    assert.deepEqual(after, { ...quiet, open_connections: 2, idle_connections: 2, wait_count_total: 2 });
    assert.ok(waited > 0);
    await driver.close();
    assert.equal((await read())["open_connections"], 0);
  });

  test("shows where the store stands", async (t) => {
    const registry = new MetricsRegistry();
    const metrics = new DatastoreMetrics(registry);
    const { driver } = await open(t, "");
    const store = await openStore(driver, {
      log: createLogger({ level: "error", format: "json", write: () => undefined }),
    });
    t.after(() => store.close());
    metrics.observeStore(() => store);
    const text = await registry.text();
    assert.match(text, /^k3s_datastore_revision 1$/m);
    assert.match(text, /^k3s_datastore_size_bytes [1-9]\d+$/m);
  });
});

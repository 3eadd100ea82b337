import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { freePort } from "@k3s/testkit";
import { DATABASES, databasesForFile } from "./support/databases.ts";
import { ServedDatastore } from "./support/databases-served.ts";
import { ask, succeed, write } from "./support/databases-wire.ts";

/** Flags of `kine` with a value that is not the default, and what is to come of them. */
const FLAGS: readonly (readonly [name: string, value: string, fate: "served" | RegExp])[] = [
  ["datastore-max-idle-connections", "3", "served"],
  ["datastore-max-open-connections", "7", "served"],
  ["datastore-connection-max-lifetime", "1h", "served"],
  ["datastore-connection-max-idle-time", "5m", "served"],
  ["slow-sql-threshold", "500ms", "served"],
  ["slow-sql-warning-threshold", "4s", "served"],
  ["watch-progress-notify-interval", "2s", "served"],
  ["compact-interval", "1h", "served"],
  ["compact-interval-jitter", "10", "served"],
  ["compact-min-retain", "500", "served"],
  ["skip-verify", "true", "served"],
  ["metrics-ignore-tls-config", "true", "served"],
  ["debug", "true", "served"],
  ["log-format", "json", "served"],
  ["emulated-etcd-version", "3.5.13", /--emulated-etcd-version has no effect: /],
  ["compact-timeout", "9s", /--compact-timeout has no effect: /],
  ["compact-batch-size", "200", /--compact-batch-size has no effect: /],
  ["poll-batch-size", "100", /--poll-batch-size has no effect: /],
  ["metrics-enable-profiling", "true", /--metrics-enable-profiling is not supported: /],
  ["peer-bind-address", "x:1", /--peer-bind-address is not supported: it belongs to t4/],
  ["peer-advertise-address", "x:1", /--peer-advertise-address is not supported: it belongs to t4/],
  ["s3-bucket", "b", /--s3-bucket is not supported: it belongs to t4/],
  ["s3-folder", "f", /--s3-folder is not supported: it belongs to t4/],
  ["s3-endpoint", "e", /--s3-endpoint is not supported: it belongs to t4/],
  ["s3-region", "r", /--s3-region is not supported: it belongs to t4/],
  ["s3-access-key", "a", /--s3-access-key is not supported: it belongs to t4/],
  ["s3-secret-key", "s", /--s3-secret-key is not supported: it belongs to t4/],
  ["s3-session-token", "t", /--s3-session-token is not supported: it belongs to t4/],
  ["s3-profile", "p", /--s3-profile is not supported: it belongs to t4/],
  ["s3-ca-bundle", "c", /--s3-ca-bundle is not supported: it belongs to t4/],
  ["ca-file", "/none/ca", /--ca-file .*ENOENT/],
  ["cert-file", "/none/cert", /--cert-file .*ENOENT/],
  ["key-file", "/none/key", /--key-file .*ENOENT/],
  ["server-cert-file", "/none/server-cert", /--server-cert-file .*ENOENT/],
  ["server-key-file", "/none/server-key", /--server-key-file .*ENOENT/],
  ["trusted-ca-file", "/none/trusted", /--trusted-ca-file .*ENOENT/],
];

const isAccepted = (fate: "served" | RegExp) => fate === "served" || String(fate).includes("no effect");
const accepted = FLAGS.filter(([, , fate]) => isAccepted(fate));
const refused = FLAGS.filter(([, , fate]) => !isAccepted(fate));
const variables = (flags: typeof FLAGS) =>
  Object.fromEntries(flags.map(([name, value]) => [`KINE_${name.toUpperCase().replaceAll("-", "_")}`, value]));
const flagsOf = (flags: typeof FLAGS) => flags.map(([name, value]) => `--${name}=${value}`);

const database = databasesForFile(DATABASES);

const WAYS = [
  { way: "flags", of: (flags: typeof FLAGS) => ({ args: flagsOf(flags) }) },
  { way: "KINE_* variables", of: (flags: typeof FLAGS) => ({ env: variables(flags) }) },
] as const;

describe("O7 kine flags and KINE_* variables", () => {
  for (const { way, of } of WAYS) {
    test(`O7 kine's ${way}: what is served is accepted, and what has no effect is named in the log`, async (t) => {
      const served = await ServedDatastore.start(
        t,
        database("SQLite").endpoint(`accepted-${way.length}`),
        of(accepted),
      );
      await succeed(served.connect(t), write("/a", 0, "1"));
      for (const [name, , fate] of accepted)
        if (fate === "served") assert.ok(!served.log.includes(`--${name}`), `${name}\n${served.log}`);
        else assert.match(served.log, fate);
      for (const line of served.log.trim().split("\n")) assert.ok("level" in (JSON.parse(line) as object), line);
    });

    test(`O7 kine's ${way}: what cannot be had is refused, all at once, with a reason for each`, async (t) => {
      const start = ServedDatastore.start(t, database("SQLite").endpoint("refused"), of(refused));
      await assert.rejects(start, (error: unknown) => {
        for (const [, , fate] of refused) if (fate !== "served") assert.match(String(error), fate);
        assert.match(String(error), /ERR_USAGE/);
        return true;
      });
    });
  }

  test("O7 KINE_METRICS_BIND_ADDRESS is where metrics are served", async (t) => {
    const address = `127.0.0.1:${await freePort()}`;
    const env = { KINE_METRICS_BIND_ADDRESS: address };
    await ServedDatastore.start(t, database("SQLite").endpoint("metrics"), { env });
    assert.equal((await fetch(`http://${address}/metrics`)).status, 200);
  });
});

/** kine's own, and those of ours that an operator watches. */
const METRICS = [
  ["kine_sql_total", "counter"],
  ["kine_sql_time_seconds", "histogram"],
  ["kine_compact_total", "counter"],
  ["kine_insert_errors_total", "counter"],
  ["process_resident_memory_bytes", "gauge"],
  ["k3s_datastore_revision", "gauge"],
  ["k3s_datastore_compact_revision", "gauge"],
] as const;

for (const name of DATABASES) {
  test(`O6 metrics names on ${name}: kine's names plus our own, counting`, async (t) => {
    const served = await ServedDatastore.start(t, database(name).endpoint("measured"));
    const connection = served.connect(t);
    let mod = 0;
    for (let i = 0; i < 3; i++) mod = await succeed(connection, write("/a", mod, String(i)));
    await ask(connection, { kind: "compact", revision: mod });
    const metrics = await (await fetch(`http://${served.target}/metrics`)).text();
    for (const [metric, type] of METRICS) assert.ok(metrics.includes(`# TYPE ${metric} ${type}\n`), metric);
    assert.match(metrics, /^kine_sql_total\{name="commit",error_code=""\} [1-9]/m);
    const buckets = [
      ...metrics.matchAll(/^kine_sql_time_seconds_bucket\{name="commit",error_code="",le="([^"]+)"\}/gm),
    ];
    const bounds = buckets.map(([, bound]) => bound);
    assert.deepEqual(bounds, [...Array.from({ length: 14 }, (_, i) => String(2 ** i / 1000)), "+Inf"]);
    assert.match(metrics, /^kine_compact_total\{result="success"\} 1$/m);
    assert.match(metrics, new RegExp(`^k3s_datastore_revision ${mod}$`, "m"));
    assert.match(metrics, new RegExp(`^k3s_datastore_compact_revision ${mod}$`, "m"));
  });
}

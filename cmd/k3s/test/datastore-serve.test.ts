import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:http2";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, test, type TestContext } from "node:test";
import { until } from "@k3s/testkit";
import { run, temporaryFolder } from "./cli-process.ts";
import { etcdctl, serveDatastore } from "./datastore-server.ts";

async function get(url: string): Promise<string> {
  const answer = await fetch(url);
  assert.equal(answer.status, 200, url);
  return await answer.text();
}

/** Status of a plain GET over HTTP/2: our own layer has these paths there too, grpc-js knows gRPC only. */
async function statusOverHttp2(t: TestContext, endpoint: string): Promise<unknown> {
  const session = connect(`http://${endpoint}`);
  t.after(() => session.destroy());
  const stream = session.request({ ":path": "/health" });
  const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
  return headers[":status"];
}

describe("k3s datastore serve", () => {
  test("is an etcd for etcdctl, keeps its data, and ends when it is asked to", async (t) => {
    const folder = await temporaryFolder(t);
    const args = [`--endpoint=sqlite://${folder}/x.db`];
    const first = await serveDatastore(t, args);
    assert.equal(await etcdctl([`--endpoints=${first.endpoint}`, "put", "/a", "1"]), "OK\n");
    assert.match(await etcdctl([`--endpoints=${first.endpoint}`, "endpoint", "status"]), /3\.6\.11/);
    assert.equal(await first.stop(), 0);
    const second = await serveDatastore(t, args);
    assert.equal(await etcdctl([`--endpoints=${second.endpoint}`, "get", "/a"]), "/a\n1\n");
  });

  test("O6 serves metrics under kine's names on the port for them and on that for clients", async (t) => {
    const folder = await temporaryFolder(t);
    const { endpoint, metricsPort } = await serveDatastore(t, [`--endpoint=sqlite://${folder}/x.db`]);
    await etcdctl([`--endpoints=${endpoint}`, "put", "/a", "1"]);
    for (const url of [`http://127.0.0.1:${metricsPort}/metrics`, `http://${endpoint}/metrics`]) {
      const metrics = await get(url);
      assert.match(metrics, /^kine_sql_total\{name="commit",error_code=""\} [1-9]/m);
      assert.match(metrics, /^kine_sql_time_seconds_bucket\{name="commit",error_code="",le="8.192"\} [1-9]/m);
      assert.match(metrics, /^go_sql_open_connections\{db_name="kine"\} 2$/m);
      assert.match(metrics, /^process_resident_memory_bytes [1-9]/m);
      assert.match(metrics, /^k3s_datastore_revision 2$/m);
      for (const [name, type] of [
        ["kine_compact_total", "counter"],
        ["kine_insert_errors_total", "counter"],
        ["kine_sql_time_seconds", "histogram"],
      ] as const)
        assert.ok(metrics.includes(`# TYPE ${name} ${type}\n`), name);
    }
    assert.equal((await fetch(`http://127.0.0.1:${metricsPort}/`)).status, 404);
  });

  test("O7 takes kine's variables; flags win over them", async (t) => {
    const folder = await temporaryFolder(t);
    const env = { KINE_ENDPOINT: `sqlite://${folder}/x.db`, KINE_SLOW_SQL_THRESHOLD: "1us", KINE_LOG_FORMAT: "json" };
    const served = await serveDatastore(t, ["-log-format=plain"], { env });
    assert.ok((await stat(join(folder, "x.db"))).isFile());
    assert.match(served.log(), /INFO {2}datastore: slow statement of the datastore statement=\w+ table="?kine/);
  });

  for (const { title, args, env, status } of [
    { title: "our own layer", args: [], env: {}, status: 200 },
    { title: "grpc-js by flag", args: ["--datastore-transport=grpc-js"], env: {}, status: 415 },
    { title: "grpc-js by variable", args: [], env: { K3S_DATASTORE_TRANSPORT: "grpc-js" }, status: 415 },
    {
      title: "our own layer by flag over variable",
      args: ["--datastore-transport=http2"],
      env: { K3S_DATASTORE_TRANSPORT: "grpc-js" },
      status: 200,
    },
  ])
    test(`serves the API over ${title}`, async (t) => {
      const folder = await temporaryFolder(t);
      const { endpoint } = await serveDatastore(t, [`--endpoint=sqlite://${folder}/x.db`, ...args], { env });
      assert.equal(await etcdctl([`--endpoints=${endpoint}`, "put", "/a", "1"]), "OK\n");
      assert.equal(await etcdctl([`--endpoints=${endpoint}`, "get", "/a"]), "/a\n1\n");
      assert.equal(await statusOverHttp2(t, endpoint), status);
    });

  for (const transport of ["http2", "grpc-js"])
    test(`is saved by etcdctl over ${transport} as a file that can be served`, async (t) => {
      const folder = await temporaryFolder(t);
      const first = await serveDatastore(t, [
        `--endpoint=sqlite://${folder}/x.db`,
        `--datastore-transport=${transport}`,
      ]);
      const on = `--endpoints=${first.endpoint}`;
      for (let i = 0; i < 20; i++) await etcdctl([on, "put", `/${i}`, "v".repeat(50_000)]);
      await etcdctl([on, "snapshot", "save", join(folder, "saved.db")]);
      const saved = await readFile(join(folder, "saved.db"));
      const [file, sum] = [saved.subarray(0, -32), saved.subarray(-32)];
      assert.ok(file.length > 20 * 50_000 && file.length % 512 === 0); // what etcd's tools tell the sum by
      assert.deepEqual(createHash("sha256").update(file).digest(), sum);
      assert.deepEqual(
        (await readdir(folder)).filter((name) => name.includes("snapshot")),
        [],
      );
      await writeFile(join(folder, "y.db"), file);
      const second = await serveDatastore(t, [`--endpoint=sqlite://${folder}/y.db`]);
      const hash = async (of: string) => /"hash":(\d+)/.exec(await etcdctl([of, "endpoint", "hashkv", "-w=json"]))?.[1];
      assert.equal(await hash(`--endpoints=${second.endpoint}`), await hash(on));
      assert.equal(await etcdctl([`--endpoints=${second.endpoint}`, "get", "/3"]), `/3\n${"v".repeat(50_000)}\n`);
    });

  test("knows two transports", async (t) => {
    const { code, stderr } = await run(t, ["datastore", "serve", "--datastore-transport=quic"]);
    assert.notEqual(code, 0);
    assert.match(stderr, /--datastore-transport.*must be http2 or grpc-js: current value is "quic"/);
  });

  test("logs JSON when it is told to", async (t) => {
    const folder = await temporaryFolder(t);
    const served = await serveDatastore(t, [`--endpoint=sqlite://${folder}/x.db`, "--log-format=json"]);
    const [first = ""] = served.log().split("\n");
    assert.equal((JSON.parse(first) as { readonly level: string }).level, "info");
  });

  test("listens on a unix socket for its owner only", async (t) => {
    const folder = await temporaryFolder(t);
    const socketPath = join(folder, "kine.sock");
    await serveDatastore(t, [`--listen-address=unix://${socketPath}`, `--endpoint=sqlite://${folder}/x.db`]);
    assert.equal((await stat(socketPath)).mode & 0o777, 0o600);
    assert.equal(await etcdctl([`--endpoints=unix://${socketPath}`, "put", "/a", "1"]), "OK\n");
    const body = await new Promise<string>((resolve, reject) => {
      request({ socketPath, path: "/health" }, (answer) => void text(answer).then(resolve))
        .on("error", reject)
        .end();
    });
    assert.equal(body, '{"health":"true","reason":""}');
  });

  test("compacts by itself every now and then when it is told to", async (t) => {
    const folder = await temporaryFolder(t);
    const { endpoint } = await serveDatastore(t, [
      `--endpoint=sqlite://${folder}/x.db`,
      "--compact-interval=50ms",
      "--compact-min-retain=2",
    ]);
    for (let i = 0; i < 6; i++) await etcdctl([`--endpoints=${endpoint}`, "put", "/a", String(i)]);
    await until("history is gone", async () =>
      (await get(`http://${endpoint}/metrics`)).includes("k3s_datastore_compact_revision 5\n"),
    );
    assert.equal(await etcdctl([`--endpoints=${endpoint}`, "get", "/a"]), "/a\n5\n");
  });

  for (const address of ["0.0.0.0:0", ":0", "[::]:0"])
    test(`${address} is every address of both families, for clients and for metrics`, async (t) => {
      const folder = await temporaryFolder(t);
      const listen = [`--listen-address=${address}`, `--metrics-bind-address=${address}`];
      const served = await serveDatastore(t, [`--endpoint=sqlite://${folder}/x.db`, ...listen]);
      const port = served.endpoint.split(":")[1];
      assert.match(served.log(), new RegExp(`etcd API is served.* address=http://\\[::\\]:${port}\\b`));
      for (const host of ["127.0.0.1", "[::1]", "[::]"]) {
        assert.equal(await get(`http://${host}:${port}/health`), '{"health":"true","reason":""}');
        assert.match(await get(`http://${host}:${served.metricsPort}/metrics`), /^k3s_datastore_revision 1$/m);
      }
    });

  test("every address is every one of IPv4 on a machine without IPv6", async (t) => {
    const folder = await temporaryFolder(t);
    const listen = ["--listen-address=:0", "--metrics-bind-address=[::]:0"];
    const wrapper = ["unshare", "--net", "--map-root-user"]; // loopback is down there, and then has no ::1
    const served = await serveDatastore(t, [`--endpoint=sqlite://${folder}/x.db`, ...listen], { wrapper });
    assert.match(served.log(), /etcd API is served.* address=http:\/\/0\.0\.0\.0:[1-9]/);
    assert.match(served.log(), /metrics are served.* host=0\.0\.0\.0/);
  });

  test("warns of what everybody may read, and of flags without effect", async (t) => {
    const folder = await temporaryFolder(t);
    const served = await serveDatastore(t, [
      "--listen-address=0.0.0.0:0",
      `--endpoint=sqlite://${folder}/x.db?_sync=NORMAL`,
      "--poll-batch-size=7",
      "--emulated-etcd-version=3.5.13",
    ]);
    assert.match(served.log(), /everybody who reaches --listen-address can read and change all data/);
    assert.match(served.log(), /--poll-batch-size has no effect/);
    assert.match(served.log(), /--emulated-etcd-version has no effect: clients are always told 3\.6\.11/);
    assert.match(served.log(), /_sync=NORMAL: a power failure can take back writes/);
  });

  test("says where it is served, and in the end that it no longer is", async (t) => {
    const folder = await temporaryFolder(t);
    const tcp = await serveDatastore(t, [`--endpoint=sqlite://${folder}/x.db`]);
    assert.match(tcp.log(), /etcd API is served.* address=http:\/\/127\.0\.0\.1:[1-9]\d*/);
    await tcp.stop();
    assert.match(tcp.log(), /the datastore is no longer served/);
    assert.doesNotMatch(tcp.log(), /node has stopped/);
    const socket = await serveDatastore(t, [
      `--endpoint=sqlite://${folder}/x.db`,
      `--listen-address=unix://${folder}/s.sock`,
    ]);
    assert.match(socket.log(), new RegExp(`etcd API is served.* socketPath=${folder}/s\\.sock`));
  });

  test("lists in its help the flags that it takes without an effect", async (t) => {
    const { stdout } = await run(t, ["datastore", "serve", "--help"]);
    const text = stdout.replace(/\s+/g, " ");
    for (const name of ["emulated-etcd-version", "compact-timeout", "compact-batch-size", "poll-batch-size"])
      assert.match(text, new RegExp(`--${name} <\\w+> [^-]*; has no effect: `));
    assert.match(text, /--metrics-enable-profiling \[boolean\] [^-]*; not supported: /);
    assert.doesNotMatch(text, /--s3-bucket/);
  });

  test("lists the forms of an endpoint in each help that has one", async (t) => {
    for (const args of [["datastore", "serve"], ["datastore", "status"], ["server"]]) {
      const { stdout } = await run(t, [...args, "--help"]);
      const text = stdout.replace(/\s+/g, " ");
      for (const form of ["sqlite:///PATH", "@tcp(HOST:PORT)/DB", "@HOST:PORT/DB", "?bucket=NAME"])
        assert.ok(text.includes(form), `${args.join(" ")}: ${form}`);
      assert.equal(text.includes("servers of an etcd https://HOST:PORT"), args[1] !== "serve");
    }
  });

  test("does not show its endpoint in the list of processes", async (t) => {
    const folder = await temporaryFolder(t);
    const { pid } = await serveDatastore(t, [`--endpoint=sqlite://${folder}/hunter2.db`]);
    assert.doesNotMatch(await readFile(`/proc/${pid}/cmdline`, "utf8"), /hunter2/);
  });
});

describe("k3s datastore serve refuses", () => {
  const cases = [
    [["--endpoint=etcd"], /--endpoint cannot be "etcd": it has no scheme/],
    [["--endpoint=mariadb://root:hunter2@tcp(h)/k"], /"mariadb:\/\/\*+@tcp\(h\)\/k": its scheme is not known/],
    [["--endpoint=mysql://root:hunter2@tcp(h"], /--endpoint is refused: .*"mysql:\/\/\*+@tcp\(h": there is no slash/],
    [["--endpoint=posgres://h/k"], /its scheme is not known: "posgres"\. Begin with sqlite:\/\/, mysql:\/\//],
    [["--endpoint=https://a:2379"], /--endpoint is an etcd: point clients to it/],
    [["--endpoint=memory://"], /does not survive a restart/],
    [["--s3-bucket=b"], /--s3-bucket is not supported: it belongs to t4/],
    [["--metrics-enable-profiling"], /--metrics-enable-profiling is not supported/],
    [["--slow-sql-threshold=5"], /--slow-sql-threshold must be a duration such as 30s or 5m: current value is "5"/],
    [["--compact-interval=-5s"], /--compact-interval must not be negative: current value is "-5s"/],
    [["--compact-min-retain=-3"], /--compact-min-retain must not be negative: current value is "-3"/],
    [["--listen-address=127.0.0.1:99999"], /--listen-address must have a port of at most 65535: .* "127.0.0.1:99999"/],
    [["--compact-min-retain=many"], /--compact-min-retain must be a whole number/],
    [["--compact-interval-jitter=100"], /--compact-interval-jitter must be from 0 to 99/],
    [["--skip-verify=perhaps"], /--skip-verify must be true or false/],
    [["--log-format=xml"], /--log-format must be plain or json/],
    [["--listen-address=ftp://x:1"], /--listen-address must not have the scheme "ftp"/],
    [["--listen-address=x"], /--listen-address must be a host and a port/],
    [["--listen-address=https://127.0.0.1:0"], /--listen-address is https, which needs --server-cert-file/],
    [["--metrics-bind-address=unix:///x"], /--metrics-bind-address must be a host and a port/],
    [["--server-cert-file=/none"], /--server-cert-file cannot be read: ENOENT/],
    [["--trusted-ca-file=/dev/null"], /--trusted-ca-file .*holds no PEM certificate/],
    [["--cert-file=/dev/null"], /--key-file must be given together with the certificate/],
    [["extra"], /too many arguments/],
    [["--no-such-flag"], /unknown option '--no-such-flag'/],
  ] as const;
  for (const [args, expected] of cases) {
    test(args.join(" "), async (t) => {
      const { code, stdout, stderr } = await run(t, ["datastore", "serve", ...args]);
      assert.equal(code, 1);
      assert.equal(stdout, "");
      assert.match(stderr, expected);
      assert.match(stderr, /^Code: {2}ERR_USAGE/m);
      assert.match(stderr, /^Hint: {2}\S/m);
      assert.doesNotMatch(stderr, /hunter2|at .*\.ts:/);
    });
  }

  test("everything that is wrong, at once, with the variable it comes from", async (t) => {
    const env = { KINE_ENDPOINT: "nope", KINE_COMPACT_INTERVAL: "soon" };
    const { stderr } = await run(t, ["datastore", "serve", "--log-format=xml"], { env });
    assert.match(stderr, /--compact-interval must be a duration .* \(set by KINE_COMPACT_INTERVAL\)/);
    assert.match(stderr, /--endpoint cannot be "nope" \(set by KINE_ENDPOINT\): it has no scheme/);
    assert.match(stderr, /--log-format/);
  });

  test("a file that another server uses", async (t) => {
    const folder = await temporaryFolder(t);
    const endpoint = `--endpoint=sqlite://${folder}/x.db`;
    const { pid } = await serveDatastore(t, [endpoint]);
    const second = await run(t, ["datastore", "serve", "--listen-address=127.0.0.1:0", endpoint]);
    assert.equal(second.code, 1);
    assert.match(second.stderr, new RegExp(`it is in use by process ${pid}`));
    assert.match(second.stderr, /ERR_SQLITE_LOCKED/);
  });

  test("a port that is taken", async (t) => {
    const folder = await temporaryFolder(t);
    const { endpoint } = await serveDatastore(t, [`--endpoint=sqlite://${folder}/x.db`]);
    const args = [`--listen-address=${endpoint}`, "--metrics-bind-address=0", `--endpoint=sqlite://${folder}/y.db`];
    const second = await run(t, ["datastore", "serve", ...args]);
    assert.equal(second.code, 1);
    assert.match(second.stderr, /ERR_ETCD_API_LISTEN/);
  });

  for (const { title, code, args, holder = "127.0.0.1" } of [
    {
      title: "a port that is taken",
      code: "ERR_ETCD_API_LISTEN",
      args: (port: number) => [`--listen-address=127.0.0.1:${port}`, "--metrics-bind-address=0"],
    },
    ...["127.0.0.1", "0.0.0.0", "::1"].map((holder) => ({
      title: `the port of every address, taken on ${holder}`,
      holder,
      code: "ERR_ETCD_API_LISTEN",
      args: (port: number) => [`--listen-address=0.0.0.0:${port}`, "--metrics-bind-address=0"],
    })),
    {
      title: "the port of every address for metrics, taken on ::1",
      holder: "::1",
      code: "ERR_SERVE_LISTEN",
      args: (port: number) => ["--listen-address=127.0.0.1:0", `--metrics-bind-address=:${port}`],
    },
    {
      title: "an address of another machine",
      code: "ERR_ETCD_API_LISTEN",
      args: () => ["--listen-address=192.0.2.1:2379", "--metrics-bind-address=0"],
    },
    {
      title: "a port for metrics that is taken",
      code: "ERR_SERVE_LISTEN",
      args: (port: number) => ["--listen-address=127.0.0.1:0", `--metrics-bind-address=127.0.0.1:${port}`],
    },
  ])
    test(`${title}, before it touches the database`, async (t) => {
      const folder = await temporaryFolder(t);
      const other = createServer().listen(0, holder);
      t.after(() => other.close());
      await once(other, "listening");
      const { port } = other.address() as AddressInfo; // sound: it listens on TCP
      const endpoint = `--endpoint=sqlite://${folder}/y.db`;
      const ended = await run(t, ["datastore", "serve", endpoint, ...args(port)]);
      assert.equal(ended.code, 1);
      assert.match(ended.stderr, new RegExp(code));
      assert.deepEqual(await readdir(folder), []);
    });
});

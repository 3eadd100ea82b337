import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, after, describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { DriverError } from "@k3s/datastore";
import { NodeError } from "@k3s/errors";
import { createLogger } from "@k3s/log";
import { freePort, startGreeter, until, type NatsServer } from "@k3s/testkit";
import { DiscardPolicy, JetStreamApiError, jetstreamManager } from "@nats-io/jetstream";
import { connect, PermissionViolationError } from "@nats-io/transport-node";
import { openNatsDriver, type TlsFiles } from "../src/index.ts";
import { KinePeer } from "./support/kine-peer.ts";
import { quietLog, startNats } from "./support/nats-fixture.ts";
import { nothing, row } from "./support/rows.ts";
import { makeTlsFiles, type TlsPaths } from "./support/tls-files.ts";

interface TryOptions {
  readonly tls?: TlsFiles;
  readonly signal?: AbortSignal;
}

/** Opens and closes; resolves with what was logged. */
async function tryOpen(t: TestContext, endpoint: string, { tls, signal }: TryOptions = {}): Promise<string> {
  const lines: string[] = [];
  const log = createLogger({ level: "info", format: "text", write: (line) => lines.push(line) });
  const limit = AbortSignal.any([t.signal, signal ?? AbortSignal.timeout(30_000)]);
  const driver = await openNatsDriver({ endpoint, log, signal: limit, ...(tls && { tls }) });
  try {
    await driver.heads(0, 1);
  } finally {
    await driver.close();
  }
  return lines.join("");
}

async function tempFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-nats-open-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

describe("openNatsDriver()", () => {
  test("O2 makes the bucket as kine does, and opens one that kine made", async (t) => {
    const server = await startNats(t);
    await tryOpen(t, `nats://${server.endpoint}?revHistory=5`);
    await KinePeer.open(t, server, 5); // rejects when anything differs
    const other = await startNats(t);
    await KinePeer.open(t, other);
    await tryOpen(t, `nats://${other.endpoint}`);
  });

  test("warns of a server that does not sync, of a small max_payload and of another history", async (t) => {
    const server = await startNats(t);
    await KinePeer.open(t, server, 5);
    const log = await tryOpen(t, `nats://${server.endpoint}?what=ever`);
    for (const expected of [
      /sync_interval: always/,
      /max_payload of nats-server to 4MB/,
      /another history/,
      /is ignored/,
    ])
      assert.match(log, expected);
    const large = await startNats(t, { config: "max_payload: 4MB" });
    assert.doesNotMatch(await tryOpen(t, `nats://${large.endpoint}`), /max_payload|another history|ignored/);
  });

  test("takes user and password, token and context file, and says when they are wrong", async (t) => {
    const users = 'authorization { users: [{ user: "u@x", password: "p:/w" }] }';
    const server = await startNats(t, { config: users });
    await tryOpen(t, `nats://u%40x:p%3A%2Fw@${server.endpoint}`);
    const refused = { code: "ERR_NATS_REFUSED" };
    await assert.rejects(tryOpen(t, `nats://${server.endpoint}`), refused);
    await assert.rejects(tryOpen(t, `nats://u:secret@${server.endpoint}`), (error) => {
      assert.ok(error instanceof Error && !error.message.includes("secret"));
      return true;
    });
    const context = join(await tempFolder(t), "context.json");
    await writeFile(context, JSON.stringify({ url: `nats://${server.endpoint}`, user: "u@x", password: "p:/w" }));
    await tryOpen(t, `nats://?contextFile=${context}`);
    await writeFile(context, "no JSON");
    await assert.rejects(tryOpen(t, `nats://?contextFile=${context}`), { code: "ERR_NATS_FILE" });
    await assert.rejects(tryOpen(t, "nats://host?credsFile=/nonexistent"), { code: "ERR_NATS_FILE" });
    const withToken = await startNats(t, { config: 'authorization { token: "t0ken" }' });
    await tryOpen(t, `nats://t0ken@${withToken.endpoint}`);
    await assert.rejects(tryOpen(t, `nats://other@${withToken.endpoint}`), refused);
  });

  test("waits for the permission to follow the bucket", async (t) => {
    // The inbox of answers has one part more than that of a follower.
    const user = '{ user: "u", password: "p", permissions: { publish: ">", subscribe: "_INBOX.*.*" } }';
    const server = await startNats(t, { config: `authorization { users: [${user}] }` });
    const opening = tryOpen(t, `nats://u:p@${server.endpoint}`, { signal: AbortSignal.timeout(1000) });
    await assert.rejects(opening, (error) => {
      assert.ok(error instanceof DriverError && error.cause instanceof PermissionViolationError);
      assert.match(error.message, /Cannot follow bucket "kine"/);
      return true;
    });
  });

  test("hears all answers on the inbox_prefix of a context file", async (t) => {
    const publish = '["$JS.API.>", "$JS.FC.>", "$KV.kine.>", "$KV.kine-k3s.>"]';
    const user = `{ user: "u", password: "p", permissions: { publish: ${publish}, subscribe: "_K3S.>" } }`;
    const server = await startNats(t, { config: `authorization { users: [${user}] }` });
    const contextFile = join(await tempFolder(t), "context.json");
    const context = { url: `nats://${server.endpoint}`, user: "u", password: "p", inbox_prefix: "_K3S" };
    await writeFile(contextFile, JSON.stringify(context));
    const open = async () => {
      const driver = await openNatsDriver({
        endpoint: `nats://?contextFile=${contextFile}`,
        log: quietLog(),
        signal: AbortSignal.timeout(5000),
      });
      t.after(() => driver.close());
      return driver;
    };
    const [writer, reader] = [await open(), await open()];
    const changed = new Promise<void>((resolve) => {
      reader.shared?.onChange(resolve);
    });
    await writer.commit({ ...nothing, rows: [row(1, "/a"), row(2, "/b")] });
    await changed;
    assert.deepEqual(
      (await reader.heads(0, 10)).map(({ name }) => name),
      ["/a", "/b"],
    );
    assert.doesNotMatch(server.output, /Violation/);
  });

  test("waits for a server that is not there yet, and uses the one of several that is", async (t) => {
    const port = await freePort();
    const gone = AbortSignal.timeout(1000);
    await assert.rejects(tryOpen(t, `nats://127.0.0.1:${port}`, { signal: gone }), { code: "ERR_NATS_UNREACHABLE" });
    const server = await startNats(t);
    await tryOpen(t, `nats://127.0.0.1:${port},${server.endpoint}`);
    await server.stop();
    const opening = tryOpen(t, `nats://${server.endpoint}`);
    await server.restart();
    await opening;
  });

  const programs = [
    { name: "PostgreSQL, which waits for the client's word", greeting: "" },
    { name: "a mail server, which greets in another way", greeting: "220 mail.example ESMTP\r\n" },
  ];
  for (const { name, greeting } of programs)
    test(`says that no NATS server listens there: ${name}`, async (t) => {
      const port = await startGreeter(t, greeting);
      const signal = AbortSignal.timeout(1000);
      await assert.rejects(tryOpen(t, `nats://127.0.0.1:${port}`, { signal }), {
        code: "ERR_NATS_FOREIGN",
        hint: /which program listens there/,
      });
    });

  describe("in an account that has no room for a consumer", () => {
    const anew = "following the bucket anew";

    /** A bucket that takes one consumer only, and a function that ends it. */
    async function fill(t: TestContext, server: NatsServer): Promise<() => Promise<unknown>> {
      const connection = await connect({ servers: server.endpoint });
      t.after(() => connection.close());
      const { streams, consumers } = await jetstreamManager(connection);
      await streams.add({ name: "KV_kine", subjects: ["$KV.kine.>"], max_msgs_per_subject: 10, max_consumers: 1 });
      await consumers.add("KV_kine", { durable_name: "other" });
      return () => consumers.delete("KV_kine", "other");
    }

    test("waits with a hint, and leaves nobody of a failed start behind", async (t) => {
      const server = await startNats(t);
      const end = await fill(t, server);
      const lines: string[] = [];
      const log = createLogger({ level: "debug", format: "text", write: (line) => lines.push(line) });
      const opening = openNatsDriver({ endpoint: `nats://${server.endpoint}`, log, signal: t.signal });
      const warning = () => lines.find((line) => line.includes("waiting for NATS"));
      const tooEarly = opening.then(() => assert.fail("it is open without a consumer"));
      const told = await Promise.race([until("it is told", () => Promise.resolve(warning())), tooEarly]);
      assert.match(told, /room for consumers/);
      const afterEnd = lines.filter((line) => line.includes(anew) && line.includes("closed"));
      assert.ok(afterEnd.length <= 6, `three starts with two followers each went on ${afterEnd.length} times`);
      await end();
      await (await opening).close();
    });

    test("says why when the wait ends", async (t) => {
      const server = await startNats(t);
      await fill(t, server);
      const gone = new AbortController();
      const lookOut = (line: string) => {
        if (line.includes(anew)) gone.abort(new Error("The server stops"));
      };
      const log = createLogger({ level: "debug", format: "text", write: lookOut });
      const opening = openNatsDriver({ endpoint: `nats://${server.endpoint}`, log, signal: gone.signal });
      await assert.rejects(opening, (error) => {
        assert.ok(error instanceof DriverError && error.cause instanceof DriverError);
        assert.equal(error.message, 'Cannot follow bucket "kine": NATS has made no consumer for it');
        assert.match(String(error.cause.cause), /maximum consumers limit reached/);
        return true;
      });
    });
  });

  const REFUSALS = [
    { name: "replicas on a server that stands alone", query: "?replicas=3", code: "ERR_NATS_REPLICAS" },
    { name: "an account that requires max_bytes", user: "sized", code: "ERR_NATS_MAX_BYTES" },
    { name: "an account with room for one stream", user: "single", code: "ERR_NATS_LIMITS" },
    { name: "an account without storage", user: "empty", code: "ERR_NATS_LIMITS" },
    { name: "subjects of another stream", user: "taken", code: "ERR_NATS_BUCKET_REFUSED" },
  ];
  test("does not wait for what never passes", async (t) => {
    const account = (user: string, jetstream: string) =>
      `${user}: { jetstream: ${jetstream}, users: [{ user: ${user}, password: p }] }`;
    const accounts = [
      account("free", "enabled"),
      account("sized", "{ max_file: 100MB, max_bytes_required: true }"),
      account("single", "{ max_file: 100MB, max_streams: 1 }"),
      account("empty", "{ max_file: 0 }"),
      account("taken", "enabled"),
    ];
    const server = await startNats(t, { config: `accounts { ${accounts.join("\n")} }` });
    const connection = await connect({ servers: server.endpoint, user: "taken", pass: "p" });
    t.after(() => connection.close());
    await (await jetstreamManager(connection)).streams.add({ name: "other", subjects: ["$KV.>"] });
    for (const { name, user = "free", query = "", code } of REFUSALS)
      await t.test(name, async () => {
        await assert.rejects(tryOpen(t, `nats://${user}:p@${server.endpoint}${query}`), (error) => {
          assert.ok(error instanceof NodeError && error.cause instanceof JetStreamApiError);
          assert.equal(error.code, code);
          assert.ok(error.message.endsWith(`: ${error.cause.message}`));
          return true;
        });
      });
  });

  test("uses buckets that were made with a size, where an account requires that", async (t) => {
    const account = "{ jetstream: { max_file: 100MB, max_bytes_required: true }, users: [{ user: u, password: p }] }";
    const server = await startNats(t, { config: `accounts { A: ${account} }` });
    const connection = await connect({ servers: server.endpoint, user: "u", pass: "p" });
    t.after(() => connection.close());
    const { streams } = await jetstreamManager(connection);
    const config = { max_bytes: 10_000_000, discard: DiscardPolicy.New, allow_direct: true, allow_rollup_hdrs: true };
    await streams.add({ name: "KV_kine", subjects: ["$KV.kine.>"], max_msgs_per_subject: 10, ...config });
    const endpoint = `nats://u:p@${server.endpoint}`;
    await assert.rejects(tryOpen(t, endpoint), { code: "ERR_NATS_MAX_BYTES", hint: /KV_kine-k3s .*subject=1 / });
    await streams.add({ name: "KV_kine-k3s", subjects: ["$KV.kine-k3s.>"], max_msgs_per_subject: 1, ...config });
    await tryOpen(t, endpoint);
  });

  test("refuses what would lose data: no JetStream, no bucket, keys that expire", async (t) => {
    const plain = await startNats(t, {
      config: "accounts { A { users: [{ user: a, password: b }] } }\nno_auth_user: a",
    });
    await assert.rejects(tryOpen(t, `nats://${plain.endpoint}`), { code: "ERR_NATS_NO_JETSTREAM" });
    const server = await startNats(t);
    const connection = await connect({ servers: server.endpoint });
    t.after(() => connection.close());
    const { streams } = await jetstreamManager(connection);
    const history = { max_msgs_per_subject: 10 };
    await streams.add({ name: "KV_other", subjects: ["x.>"] });
    await streams.add({ name: "KV_aging", subjects: ["$KV.aging.>"], max_age: 3_600_000_000_000, ...history });
    await streams.add({ name: "KV_short", subjects: ["$KV.short.>"], max_msgs_per_subject: 1 });
    await streams.add({ name: "KV_evicting", subjects: ["$KV.evicting.>"], max_bytes: 10_000_000, ...history });
    for (const bucket of ["other", "aging", "short", "evicting"])
      await assert.rejects(tryOpen(t, `nats://${server.endpoint}?bucket=${bucket}`), { code: "ERR_NATS_BUCKET" });
  });
});

describe("O5 TLS flags to database: TLS to NATS", () => {
  let folder = "";
  let files: TlsPaths;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "k3s-nats-tls-"));
    files = await makeTlsFiles(folder);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const config = (more = "") => {
    const { cert, key } = files.servingApiServer;
    return `tls { cert_file: "${cert}", key_file: "${key}", timeout: 10 ${more} }`;
  };

  test("trusts the CA of the file, and no other", async (t) => {
    const server = await startNats(t, { config: config() });
    await tryOpen(t, `nats://${server.endpoint}`, { tls: { caFile: files.serverCa.cert } });
    await tryOpen(t, `nats://localhost:${server.port}`, { tls: { caFile: files.serverCa.cert } });
    const other = { caFile: files.clientCa.cert };
    await assert.rejects(tryOpen(t, `nats://${server.endpoint}`, { tls: other }), { code: "ERR_NATS_TLS" });
    await assert.rejects(tryOpen(t, `nats://${server.endpoint}`), { code: "ERR_NATS_TLS" });
  });

  for (const [name, right, wrong] of [
    ["IP:127.0.0.1", "127.0.0.1", "localhost"],
    ["DNS:localhost", "localhost", "127.0.0.1"],
  ] as const)
    test(`takes a certificate of ${name} for ${right}, and not for ${wrong}`, async (t) => {
      const [cert, key] = [join(folder, `${right}.crt`), join(folder, `${right}.key`)];
      const made = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=nats",
        "-addext",
        `subjectAltName=${name}`,
      ];
      await promisify(execFile)("openssl", [...made, "-keyout", key, "-out", cert]);
      const server = await startNats(t, { config: `tls { cert_file: "${cert}", key_file: "${key}", timeout: 10 }` });
      const tls = { caFile: cert };
      await tryOpen(t, `nats://${right}:${server.port}`, { tls });
      await assert.rejects(tryOpen(t, `nats://${wrong}:${server.port}`, { tls }), { code: "ERR_NATS_TLS" });
    });

  test("shows the client certificate where the server wants one", async (t) => {
    const server = await startNats(t, { config: config(`, verify: true, ca_file: "${files.clientCa.cert}"`) });
    const caFile = files.serverCa.cert;
    const { cert: certFile, key: keyFile } = files.clientAdmin;
    await tryOpen(t, `nats://${server.endpoint}`, { tls: { caFile, certFile, keyFile } });
    const signal = AbortSignal.timeout(3000);
    await assert.rejects(tryOpen(t, `nats://${server.endpoint}`, { tls: { caFile }, signal }));
  });

  test("is not given up silently where the server has none", async (t) => {
    const server = await startNats(t);
    await assert.rejects(tryOpen(t, `nats://${server.endpoint}`, { tls: { caFile: files.serverCa.cert } }), {
      code: "ERR_NATS_TLS",
    });
  });

  test("names a file that is not there", async (t) => {
    await assert.rejects(
      tryOpen(t, "nats://host", { tls: { caFile: "/nonexistent/ca.pem" } }),
      /"\/nonexistent\/ca.pem"/,
    );
  });
});

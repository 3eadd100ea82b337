import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import { createServer } from "node:https";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { createLogger } from "@k3s/log";
import { caHash, TokenError } from "@k3s/token";
import { ClusterClient, ClusterError, trustCluster } from "../src/index.ts";

const run = promisify(execFile);

interface Served {
  readonly server: string;
  readonly ca: Buffer;
}

/** Serves HTTPS with a certificate that openssl signs for `days` from now; a negative number: it has expired. */
async function serve(t: TestContext, listener: RequestListener | undefined, days = 1): Promise<Served> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-trust-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = (name: string) => join(folder, name);
  const key = (name: string) => [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-keyout",
    path(name),
  ];
  await run("openssl", ["req", "-x509", ...key("ca.key"), "-out", path("ca.crt"), "-subj", "/CN=k3s-server-ca"]);
  await run("openssl", ["req", ...key("tls.key"), "-out", path("tls.csr"), "-subj", "/CN=k3s"]);
  await writeFile(path("ext"), "subjectAltName=IP:127.0.0.1\n");
  const signing = ["-CA", path("ca.crt"), "-CAkey", path("ca.key"), "-set_serial", "7", "-days", String(days)];
  const leaf = ["-in", path("tls.csr"), "-extfile", path("ext"), "-out", path("tls.crt")];
  await run("openssl", ["x509", "-req", ...leaf, ...signing]);
  const ca = await readFile(path("ca.crt"));
  const answerCa: RequestListener = (request, response) =>
    response.writeHead(request.url === "/cacerts" ? 200 : 404).end(ca);
  const pair = { cert: await readFile(path("tls.crt")), key: await readFile(path("tls.key")) };
  const server = createServer(pair, listener ?? answerCa).listen(0, "127.0.0.1");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, "listening");
  return { server: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, ca };
}

function trust(server: string, token: string) {
  const lines: string[] = [];
  const log = createLogger({ level: "debug", format: "text", write: (line) => void lines.push(line) });
  const signal = AbortSignal.timeout(60_000);
  return { lines, log, trusted: trustCluster({ server, token, user: "node", log, signal }) };
}

describe("trustCluster()", () => {
  test("takes the CA that the token names, and completes a short token with a warning", async (t) => {
    const { server, ca } = await serve(t, undefined);
    const whole = trust(server, `K10${caHash(ca)}::node:pw`);
    assert.deepEqual((await whole.trusted).ca, ca);
    assert.deepEqual(whole.lines, []);
    const short = trust(server, "pw");
    assert.equal((await short.trusted).token, `K10${caHash(ca)}::node:pw`);
    assert.match(short.lines.join(""), /the token does not name the cluster's CA/);
  });

  test("refuses a CA that the token does not name", async (t) => {
    const { server } = await serve(t, undefined);
    const { trusted } = trust(server, `K10${"0".repeat(64)}::node:pw`);
    await assert.rejects(trusted, (error) => error instanceof TokenError && error.code === "ERR_TOKEN_CA_MISMATCH");
  });

  test("points at the clocks when it is only the time that is wrong with a certificate", async (t) => {
    const { server } = await serve(t, undefined, -1);
    const { trusted } = trust(server, "pw");
    await assert.rejects(trusted, (error) => {
      assert.ok(error instanceof ClusterError && !error.isFinal, "a clock may be set right");
      assert.equal(error.code, "ERR_SERVER_UNTRUSTED");
      assert.match(error.message, /CA cert validation failed/);
      assert.match(error.hint ?? "", /clocks of this machine and of the server/);
      return true;
    });
    const early = ClusterError.untrusted(server, Object.assign(new Error("early"), { code: "CERT_NOT_YET_VALID" }));
    assert.match(early.hint ?? "", /clocks/);
  });

  test("says that whoever answers is no k3s, or that nobody does", async (t) => {
    const { server } = await serve(t, (_request, response) => response.writeHead(404).end());
    await assert.rejects(trust(server, "pw").trusted, { code: "ERR_SERVER_NOT_K3S" });
    const silent = createTcpServer().listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    silent.close();
    await once(silent, "close");
    await assert.rejects(trust(`https://127.0.0.1:${port}`, "pw").trusted, { code: "ERR_SERVER_UNREACHABLE" });
  });
});

describe("ClusterClient", () => {
  test("shows the warnings of a server, sends the token, and tells final refusals from those that pass", async (t) => {
    let status = 200;
    let ca: Buffer = Buffer.alloc(0);
    const seen: (string | undefined)[] = [];
    const listener: RequestListener = (request, response) => {
      if (request.url === "/cacerts") return void response.end(ca);
      seen.push(request.headers.authorization);
      response.writeHead(status, { warning: '299 k3s "old \\"thing\\""' }).end(JSON.stringify({ message: "because" }));
    };
    const served = await serve(t, listener);
    ca = served.ca;
    const { trusted, log, lines } = trust(served.server, `K10${caHash(ca)}::node:pw`);
    const client = new ClusterClient({ trust: await trusted, log });
    const ask = () => client.get("/v1-k3s/config", AbortSignal.timeout(60_000));
    await ask();
    assert.deepEqual(seen, [`Basic ${Buffer.from("node:pw").toString("base64")}`]);
    assert.match(lines.join(""), /old "thing"/);
    const cases = [
      [401, "ERR_TOKEN_REFUSED", true],
      [403, "ERR_TOKEN_FORBIDDEN", true],
      [503, "ERR_SERVER_FAILED", false],
    ] as const;
    for (const [given, code, isFinal] of cases) {
      status = given;
      await assert.rejects(ask(), (error) => {
        assert.ok(error instanceof ClusterError);
        assert.deepEqual([error.code, error.isFinal], [code, isFinal]);
        return true;
      });
    }
  });
});

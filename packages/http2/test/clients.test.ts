import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { findProgram } from "@k3s/testkit";
import { startServer } from "./support/server.ts";
import { testIdentity } from "./support/identity.ts";

const run = promisify(execFile);
const BODY_BYTES = 3_000_000;

async function bodyFile(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-http2-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "body");
  await writeFile(path, Buffer.alloc(BODY_BYTES, "0123456789"));
  return path;
}

async function output(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run(await findProgram(program), args, { maxBuffer: 64 << 20 });
  return stdout;
}

describe("clients of others", () => {
  test("curl sends and receives a body with prior knowledge", async (t) => {
    const { port } = await startServer(t);
    const path = await bodyFile(t);
    const url = `http://127.0.0.1:${port}/echo`;
    const echoed = await output("curl", ["-sS", "--http2-prior-knowledge", "--data-binary", `@${path}`, url]);
    assert.equal(echoed.length, BODY_BYTES);
    const wanted = ["-sS", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_version} %{response_code}", url];
    assert.equal(await output("curl", wanted), "2 200");
  });

  test("curl agrees on h2 by ALPN", async (t) => {
    const { port } = await startServer(t, { tls: await testIdentity(t) });
    const url = `https://127.0.0.1:${port}/bytes/100000`;
    const wanted = ["-sSk", "-o", "/dev/null", "-w", "%{http_version} %{size_download}", url];
    assert.equal(await output("curl", wanted), "2 100000");
  });

  test("nghttp sends bodies, padding, trailers and CONTINUATION", async (t) => {
    const { port, heads } = await startServer(t);
    const path = await bodyFile(t);
    const long = Array.from({ length: 20 }, (_, i) => `--header=x-${i}: ${"long ".repeat(400)}end`);
    const args = ["--padding=200", "--trailer=x-last: 1", `--data=${path}`, "--window-bits=20", ...long];
    const echoed = await output("nghttp", [...args, `http://127.0.0.1:${port}/echo`]);
    assert.equal(echoed.length, BODY_BYTES);
    assert.equal(heads[0]?.fields.filter(({ name }) => name.startsWith("x-")).length, 20);
  });

  for (const args of [[], ["--window-bits=5", "--connection-window-bits=6"], ["--header-table-size=0"]])
    test(`h2load gets every answer of many at once ${args.join(" ")}`, async (t) => {
      const { port } = await startServer(t);
      const count = ["--requests=4000", "--clients=8", "--max-concurrent-streams=50", ...args];
      const report = await output("h2load", [...count, `http://127.0.0.1:${port}/bytes/300`]);
      assert.match(report, /4000 done, 4000 succeeded, 0 failed, 0 errored, 0 timeout/);
    });

  test("node:http2 runs a thousand requests on one connection, with trailers", async (t) => {
    const { port } = await startServer(t);
    const session = connect(`http://127.0.0.1:${port}`);
    t.after(() => session.destroy());
    const calls = Array.from({ length: 1000 }, async (_, i) => {
      const body = Buffer.alloc(i * 10, String(i % 10));
      const stream = session.request({ ":method": "POST", ":path": "/echo", "x-number": String(i) });
      stream.end(body);
      const parts: Buffer[] = [];
      stream.on("data", (part: Buffer) => parts.push(part));
      const [trailers] = (await once(stream, "trailers")) as [Record<string, string>];
      if (!stream.readableEnded) await once(stream, "end");
      assert.ok(Buffer.concat(parts).equals(body));
      assert.equal(trailers["x-end"], "yes");
    });
    await Promise.all(calls);
  });
});

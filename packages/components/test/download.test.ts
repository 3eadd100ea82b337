import assert from "node:assert/strict";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { download, fetchText, type DownloadOptions } from "../src/download.ts";
import { ReleaseServer, sha256 } from "./support/release-server.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

const NAME = "files.example/v1/program";
// Far more than the sockets in between buffer: what was received but not read when a connection ends is lost.
const CONTENT = Buffer.alloc(6_000_000, "0123456789");
const POLICY = { stallMs: 5_000, delayMinMs: 1, delayMaxMs: 5, maxFailures: 3 };

interface Fixture {
  readonly server: ReleaseServer;
  readonly folder: string;
  readonly options: DownloadOptions;
  readonly retries: string[];
}

async function fixture(t: TestContext): Promise<Fixture> {
  const server = await ReleaseServer.start(t);
  server.add(NAME, CONTENT);
  const folder = await temporaryFolder(t);
  const retries: string[] = [];
  const path = join(folder, "program");
  const onRetry = (reason: string) => void retries.push(reason);
  const options = { url: `${server.url}/${NAME}`, path, sha256: sha256(CONTENT), policy: POLICY, onRetry };
  return { server, folder, options, retries };
}

describe("download()", () => {
  test("follows redirects, reports bytes and leaves only the whole file", async (t) => {
    const { options, folder } = await fixture(t);
    const reports: (readonly [number, number | undefined])[] = [];
    await download({ ...options, onProgress: (done, total) => void reports.push([done, total]) });
    assert.deepEqual(await readFile(options.path), CONTENT);
    assert.deepEqual(reports.at(-1), [CONTENT.length, CONTENT.length]);
    assert.deepEqual(await readdir(folder), ["program"]);
  });

  test("asks nobody when the file is there", async (t) => {
    const { options, server } = await fixture(t);
    await download(options);
    server.requests.length = 0;
    await download(options);
    assert.deepEqual(server.requests, []);
  });

  test("goes on where the connection was cut", async (t) => {
    const { options, server, retries } = await fixture(t);
    server.fail(NAME, { kind: "cut", afterBytes: 2_000_000 });
    await download(options);
    assert.deepEqual(await readFile(options.path), CONTENT);
    assert.equal(retries.length, 1);
    assert.match(server.requests.at(-1) ?? "", / bytes=\d{4,}-$/);
  });

  test("goes on with what an earlier run left", async (t) => {
    const { options, server } = await fixture(t);
    await writeFile(`${options.path}.part`, CONTENT.subarray(0, 123_456));
    await download(options);
    assert.deepEqual(await readFile(options.path), CONTENT);
    assert.equal(server.requests.at(-1), `storage/${NAME} bytes=123456-`);
  });

  test("accepts a partial file that is whole already", async (t) => {
    const { options, server } = await fixture(t);
    await writeFile(`${options.path}.part`, CONTENT);
    await download(options);
    assert.deepEqual(await readFile(options.path), CONTENT);
    assert.equal(server.requests.length, 2);
  });

  test("starts over when the server ignores the range", async (t) => {
    const { options, server } = await fixture(t);
    await writeFile(`${options.path}.part`, CONTENT.subarray(0, 1000));
    server.fail(NAME, { kind: "ignore-range" });
    await download(options);
    assert.deepEqual(await readFile(options.path), CONTENT);
  });

  for (const { what, part } of [
    { what: "of another file", part: Buffer.alloc(1000, "x") },
    { what: "that is too long", part: Buffer.alloc(CONTENT.length + 1, "x") },
  ]) {
    test(`throws away a partial file ${what}`, async (t) => {
      const { options } = await fixture(t);
      await writeFile(`${options.path}.part`, part);
      await download(options);
      assert.deepEqual(await readFile(options.path), CONTENT);
    });
  }

  test("breaks off a transfer that stands still and tries again", async (t) => {
    const { options, server, retries } = await fixture(t);
    server.fail(NAME, { kind: "stall", afterBytes: 50_000 });
    await download({ ...options, policy: { ...POLICY, stallMs: 500 } });
    assert.deepEqual(await readFile(options.path), CONTENT);
    assert.deepEqual(retries, ["Waiting for the next byte took longer than 0.5 s, trying again"]);
  });

  test("tries again after a passing failure of the server", async (t) => {
    const { options, server, retries } = await fixture(t);
    server.fail(NAME, { kind: "status", status: 503 });
    server.fail(NAME, { kind: "status", status: 429 });
    await download(options);
    assert.equal(retries.length, 2);
    assert.match(retries[0] ?? "", /answered 503 Service Unavailable/);
  });

  test("gives up after too many failures without a new byte", async (t) => {
    const { options, server } = await fixture(t);
    for (let i = 0; i < 10; i++) server.fail(NAME, { kind: "status", status: 502 });
    await assert.rejects(download(options), { code: "ERR_COMPONENT_DOWNLOAD", message: /answered 502 Bad Gateway/ });
    assert.equal(server.requests.length, 2 * POLICY.maxFailures);
  });

  test("does not give up as long as each attempt brings bytes", async (t) => {
    const { options, server } = await fixture(t);
    for (let i = 0; i < 6; i++) server.fail(NAME, { kind: "cut", afterBytes: 900_000 });
    await download(options);
    assert.deepEqual(await readFile(options.path), CONTENT);
  });

  test("does not try again when the file is not there", async (t) => {
    const { options, server } = await fixture(t);
    const missing = { ...options, url: `${server.url}/files.example/v2/program` };
    await assert.rejects(download(missing), { code: "ERR_COMPONENT_DOWNLOAD", message: /answered 404 Not Found/ });
    assert.equal(server.requests.length, 1);
  });

  test("keeps a whole file with another checksum aside and does not use it", async (t) => {
    const { options, folder, server } = await fixture(t);
    const other = Buffer.alloc(CONTENT.length, "z");
    server.add(NAME, other);
    await assert.rejects(download(options), { code: "ERR_COMPONENT_CHECKSUM", message: /kept as ".*\.bad-/ });
    const [kept = "", ...rest] = await readdir(folder);
    assert.match(kept, /^program\.part\.bad-\d{4}-/);
    assert.deepEqual(rest, []);
    assert.deepEqual(await readFile(join(folder, kept)), other);
  });

  test("downloads again when the stored file has changed, and keeps that aside", async (t) => {
    const { options, folder } = await fixture(t);
    await writeFile(options.path, "changed");
    await download(options);
    assert.deepEqual(await readFile(options.path), CONTENT);
    assert.equal((await readdir(folder)).filter((name) => name.includes(".bad-")).length, 1);
  });

  test("stops at once when its signal aborts, and keeps what it has", async (t) => {
    const { options, server, folder } = await fixture(t);
    server.fail(NAME, { kind: "stall", afterBytes: 50_000 });
    const stop = new AbortController();
    const downloading = download({
      ...options,
      signal: stop.signal,
      onProgress: () => stop.abort(new Error("stopped by the test")),
    });
    await assert.rejects(downloading, /stopped by the test/);
    assert.deepEqual(await readdir(folder), ["program.part"]);
  });
});

describe("fetchText()", () => {
  test("starts over after a cut and gives up when it never gets the whole text", async (t) => {
    const { options, server } = await fixture(t);
    const list = "lists.example/SHA256SUMS";
    server.add(list, "a list");
    const wanted = { ...options, url: `${server.url}/${list}` };
    server.fail(list, { kind: "cut", afterBytes: 3 });
    assert.equal(await fetchText(wanted), "a list");
    for (let i = 0; i < 10; i++) server.fail(list, { kind: "cut", afterBytes: 3 });
    await assert.rejects(fetchText(wanted), { code: "ERR_COMPONENT_DOWNLOAD" });
  });

  test("refuses to read a file that is no list", async (t) => {
    const { options } = await fixture(t);
    await assert.rejects(fetchText(options), { code: "ERR_COMPONENT_DOWNLOAD", message: /too large for a list/ });
  });

  test("names the reason when nobody listens", async (t) => {
    const { options } = await fixture(t);
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    taken.close();
    const unreachable = fetchText({ ...options, url: `http://127.0.0.1:${port}/list` });
    await assert.rejects(unreachable, { code: "ERR_COMPONENT_DOWNLOAD", message: /ECONNREFUSED/ });
  });
});

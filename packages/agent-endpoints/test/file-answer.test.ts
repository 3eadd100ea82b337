import assert from "node:assert/strict";
import { mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { fileAnswer } from "../src/file-answer.ts";

const MADE = new Date("2026-01-02T03:04:05.678Z");
const MADE_TEXT = "Fri, 02 Jan 2026 03:04:05 GMT";

async function ask(t: TestContext, given: Readonly<Record<string, string>>) {
  const folder = await mkdtemp(join(tmpdir(), "k3s-file-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "ca.crt");
  await writeFile(path, "0123456789");
  await utimes(path, MADE, MADE);
  const { status = 200, headers = [], body } = await fileAnswer(path, { header: (name) => given[name] });
  const named = Object.fromEntries(
    headers.flatMap((name, index) => (index % 2 === 0 ? [[name, headers[index + 1]] as const] : [])),
  );
  return { status, headers: named, text: body.toString() };
}

describe("fileAnswer()", () => {
  test("gives the whole file, with its date", async (t) => {
    const { status, headers, text } = await ask(t, {});
    assert.deepEqual([status, headers["Last-Modified"], text], [200, MADE_TEXT, "0123456789"]);
  });

  for (const [range, status, text, told] of [
    ["bytes=2-4", 206, "234", "bytes 2-4/10"],
    ["bytes=7-", 206, "789", "bytes 7-9/10"],
    ["bytes=8-99", 206, "89", "bytes 8-9/10"],
    ["bytes=-3", 206, "789", "bytes 7-9/10"],
    ["bytes=-99", 206, "0123456789", "bytes 0-9/10"],
    ["bytes=10-", 416, "", "bytes */10"],
    ["bytes=4-2", 416, "", "bytes */10"],
    ["bytes=-0", 416, "", "bytes */10"],
    ["bytes=-", 416, "", "bytes */10"],
    ["bytes=0-1,4-5", 200, "0123456789", undefined],
    ["lines=1-2", 200, "0123456789", undefined],
  ] as const)
    test(`answers the range "${range}" with ${status}`, async (t) => {
      const answer = await ask(t, { range });
      assert.deepEqual([answer.status, answer.text, answer.headers["Content-Range"]], [status, text, told]);
    });
});

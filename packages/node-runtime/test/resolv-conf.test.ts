import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ensureResolvConf, isUsableResolvConf } from "../src/resolv-conf.ts";

describe("isUsableResolvConf()", () => {
  const cases = [
    { text: "nameserver 192.168.1.1\n", usable: true },
    { text: "# comment\nsearch example.org\n\tnameserver 2001:db8::53\nnameserver 10.0.0.1\n", usable: true },
    { text: "nameserver 169.254.169.254\n", usable: true },
    { text: "nameserver fd00::10\n", usable: true },
    { text: "nameserver 127.0.0.53\n", usable: false },
    { text: "nameserver 192.0.2.1\nnameserver 127.0.0.1\n", usable: false },
    { text: "nameserver 169.254.1.1\n", usable: false },
    { text: "nameserver fe80::1\n", usable: false },
    { text: "nameserver ::1\n", usable: false },
    { text: "nameserver ff02::1\n", usable: false },
    { text: "nameserver ::ffff:127.0.0.1\n", usable: false },
    { text: "nameserver 0.0.0.0\n", usable: false },
    { text: "nameserver 224.0.0.1\n", usable: false },
    { text: "nameserver 255.255.255.255\n", usable: false },
    { text: "nameserver example.org\n", usable: false },
    { text: "#nameserver 192.0.2.1\n", usable: false },
    { text: "search example.org\n", usable: false },
    { text: "", usable: false },
  ];
  for (const { text, usable } of cases)
    test(`isUsableResolvConf() is ${String(usable)} for ${JSON.stringify(text)}`, () =>
      assert.equal(isUsableResolvConf(text), usable));
});

describe("ensureResolvConf()", () => {
  async function files(t: { after(task: () => Promise<void>): void }, contents: readonly (string | undefined)[]) {
    const folder = await mkdtemp(join(tmpdir(), "resolv-conf-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const paths = contents.map((_, index) => join(folder, String(index)));
    for (const [index, content] of contents.entries())
      if (content !== undefined) await writeFile(paths[index] ?? "", content);
    return { paths, generated: join(folder, "generated") };
  }

  test("takes the first file that pods can use", async (t) => {
    const { paths, generated } = await files(t, ["nameserver 127.0.0.53\n", undefined, "nameserver 192.0.2.1\n"]);
    assert.equal(await ensureResolvConf(generated, paths), paths[2]);
  });

  test("makes a file with public resolvers when there is none", async (t) => {
    const { paths, generated } = await files(t, ["nameserver 127.0.0.53\n"]);
    assert.equal(await ensureResolvConf(generated, paths), generated);
    assert.ok(isUsableResolvConf(await readFile(generated, "utf8")));
  });
});

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { layOutPodNetwork } from "../src/index.ts";

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "k3s-network-"));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

describe("layOutPodNetwork()", () => {
  test("makes a network list without addresses, for root alone", async (t) => {
    const path = join(await folder(t), "net.d");
    await layOutPodNetwork(path);
    const file = join(path, "10-flannel.conflist");
    const network = JSON.parse(await readFile(file, "utf8")) as {
      readonly plugins: readonly [{ readonly ipam: unknown }];
    };
    assert.deepEqual(network.plugins[0].ipam, { type: "host-local", ranges: [] });
    assert.equal((await stat(file)).mode & 0o777, 0o600);
  });

  test("keeps the list of an earlier start, whose pods have addresses of it", async (t) => {
    const path = await folder(t);
    await writeFile(join(path, "10-flannel.conflist"), "mine");
    await layOutPodNetwork(path);
    assert.equal(await readFile(join(path, "10-flannel.conflist"), "utf8"), "mine");
  });
});

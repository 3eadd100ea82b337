import assert from "node:assert/strict";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { run, temporaryFolder } from "./cli-process.ts";
import { writeComponentFolder } from "./component-folder.ts";

describe("k3s airgap", () => {
  test("lists what a node needs, and what is wanted besides", async (t) => {
    const { code, stdout } = await run(t, ["airgap", "list", "-image", "busybox:1", "--image=example.org/x:2"]);
    assert.equal(code, 0);
    const wanted = ["docker.io/library/busybox:1", "docker.io/rancher/mirrored-pause:3.10.2", "example.org/x:2"];
    assert.deepEqual(stdout.split("\n").filter(Boolean), wanted);
  });

  test("shows its help", async (t) => {
    for (const args of [["airgap"], ["airgap", "--help"], ["help", "airgap"]]) {
      const { code, stdout } = await run(t, args);
      assert.equal(code, 0);
      assert.match(stdout, /images .*agent\/images/);
    }
  });

  test("refuses what cannot be made before anything is started", async (t) => {
    const folder = await temporaryFolder(t);
    const components = join(folder, "components");
    await writeComponentFolder(components, "#!/bin/sh\nexit 1\n");
    const env = { K3S_COMPONENTS_DIR: components };
    const [executable, tar] = [join(folder, "k3s"), join(folder, "out.tar")];
    await writeFile(executable, "");
    const before = await readdir(folder);
    const output = join(folder, "out.zip");
    for (const [args, code] of [
      [["images", "-o", output], "ERR_AIRGAP_OUTPUT"],
      [["images", "--from", join(folder, "absent")], "ERR_AIRGAP_NO_ARCHIVE"],
      [["bundle", "-o", output], "ERR_AIRGAP_OUTPUT"],
      [["bundle", "-o", tar, "--executable", executable], "ERR_AIRGAP_INSTALLER"],
      [["bundle", "-o", tar, "--executable", executable, "--installer", executable], "ERR_AIRGAP_EXECUTABLE"],
    ] as const) {
      const ended = await run(t, ["airgap", ...args], { env });
      assert.equal(ended.code, 1);
      assert.match(ended.stderr, new RegExp(`Code: +${code}\n`));
    }
    assert.deepEqual(await readdir(folder), before);
  });
});

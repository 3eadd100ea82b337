import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { executablePath, loadComponentSet } from "../src/index.ts";
import { writeComponentFolder } from "./support/component-folder.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

describe("executablePath()", () => {
  test("puts plugins and programs first and the host tools last", async (t) => {
    const dir = await temporaryFolder(t);
    await writeComponentFolder(dir);
    const set = await loadComponentSet(dir);
    const path = executablePath({ set, inherited: "/usr/bin::/bin:", preferBundled: false });
    const expected = [join(dir, "bin/cni"), join(dir, "bin"), "/usr/bin", "/bin", join(dir, "bin/aux")];
    assert.equal(path, expected.join(":"));
  });

  test("puts the host tools before the host's when they are preferred", async (t) => {
    const dir = await temporaryFolder(t);
    await writeComponentFolder(dir);
    const set = await loadComponentSet(dir);
    const path = executablePath({ set, inherited: "/usr/bin", preferBundled: true });
    assert.equal(path, [join(dir, "bin/cni"), join(dir, "bin"), join(dir, "bin/aux"), "/usr/bin"].join(":"));
  });
});

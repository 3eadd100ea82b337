import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { findVersions } from "../src/program-versions.ts";
import { compareVersions, parseVersion } from "../src/version.ts";
import { fakePrograms, writePrograms } from "./support/fake-programs.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

describe("parseVersion()", () => {
  const cases = [
    { text: "v1.30.14", expected: [1, 30, 14, "1.30.14"] },
    { text: "1.6.20~ds1", expected: [1, 6, 20, "1.6.20~ds1"] },
    { text: "1.36.0-rc.1+k3s1", expected: [1, 36, 0, "1.36.0-rc.1+k3s1"] },
    { text: "2.1", expected: [2, 1, 0, "2.1"] },
  ];
  for (const { text, expected } of cases) {
    test(`reads "${text}"`, () => {
      const { major, minor, patch, text: kept } = parseVersion(text) ?? assert.fail("not read");
      assert.deepEqual([major, minor, patch, kept], expected);
    });
  }

  test("returns undefined when the text does not begin like a version", () => {
    assert.equal(parseVersion("unknown"), undefined);
  });
});

test("compareVersions() compares numbers, not digits", () => {
  const [older, newer] = [parseVersion("1.9.10"), parseVersion("1.10.2")];
  assert.ok(older !== undefined && newer !== undefined && compareVersions(older, newer) < 0);
});

describe("findVersions()", () => {
  const question = (folder: string) => ({
    binDir: join(folder, "bin"),
    optional: ["etcd", "crictl"] as const,
    cniFallback: "9.9.9",
  });
  const texts = (versions: object) => Object.values(versions).map((version) => (version as { text: string }).text);

  test("understands the answers of upstream's builds", async (t) => {
    const folder = await temporaryFolder(t);
    await writePrograms(folder, fakePrograms());
    const versions = await findVersions(question(folder));
    assert.deepEqual(texts(versions), ["1.30.14", "1.7.29", "1.3.3", "1.8.0", "3.5.24", "1.30.1"]);
    assert.deepEqual(versions.kubernetes, { major: 1, minor: 30, patch: 14, text: "1.30.14" });
  });

  test("understands the answers of Debian's builds and of containerd 2", async (t) => {
    const folder = await temporaryFolder(t);
    const programs = fakePrograms();
    const containerd = "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3";
    programs.set("bin/containerd", `#!/bin/sh\necho "${containerd}"\n`);
    programs.set("bin/runc", '#!/bin/sh\necho "runc version 1.1.5+ds1"\necho "commit: 1.1.5+ds1-1+deb12u1"\n');
    programs.set("bin/cni/bridge", '#!/bin/sh\necho "CNI bridge plugin version unknown" >&2\n');
    await writePrograms(folder, programs);
    const versions = await findVersions({ ...question(folder), optional: [] });
    assert.deepEqual(texts(versions), ["1.30.14", "1.6.20~ds1", "1.1.5+ds1", "9.9.9"]);

    const second = await temporaryFolder(t);
    programs.set("bin/containerd", '#!/bin/sh\necho "containerd github.com/containerd/containerd/v2 v2.2.0 1c4457e"\n');
    await writePrograms(second, programs);
    assert.equal((await findVersions(question(second))).containerd.text, "2.2.0");
  });

  test("refuses programs of Kubernetes of different versions", async (t) => {
    const folder = await temporaryFolder(t);
    const programs = fakePrograms();
    programs.set("bin/kubelet", '#!/bin/sh\necho "Kubernetes v1.29.1"\n');
    await writePrograms(folder, programs);
    await assert.rejects(findVersions(question(folder)), {
      code: "ERR_COMPONENT_VERSIONS_MIXED",
      message: /kubelet 1\.29\.1/,
    });
  });

  test("names the program and its answer when that has no version", async (t) => {
    const folder = await temporaryFolder(t);
    const programs = fakePrograms();
    programs.set("bin/runc", "#!/bin/sh\necho hello\n");
    await writePrograms(folder, programs);
    const message = `Cannot find the version of "${join(folder, "bin/runc")}": it answered "hello"`;
    await assert.rejects(findVersions(question(folder)), { code: "ERR_COMPONENT_VERSION", message });
  });
});

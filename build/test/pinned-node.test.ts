import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const read = (name: string) => readFileSync(join(import.meta.dirname, "../..", name), "utf8");

interface PackageFile {
  readonly engines: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
}

test("one Node is pinned in every place, and runs this test", () => {
  const { engines, optionalDependencies } = JSON.parse(read("package.json")) as PackageFile;
  const pinned = {
    ".node-version": read(".node-version").trim(),
    engines: engines["node"],
    "pnpm-workspace.yaml": /^nodeVersion: (.*)$/m.exec(read("pnpm-workspace.yaml"))?.[1],
    ...optionalDependencies,
  };
  for (const [place, version] of Object.entries(pinned)) assert.equal(version, process.versions.node, place);
});

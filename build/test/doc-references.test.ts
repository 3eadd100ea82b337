import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, test } from "node:test";

const ROOT = join(import.meta.dirname, "../..");
const find = (...patterns: readonly string[]) =>
  globSync(patterns, { cwd: ROOT, exclude: ["**/node_modules/**", "**/dist/**"] }).sort();
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

const PAGES = find("*.md", "{bench,build,docs}/*.md", "{cmd,packages}/*/*.md");
/** The rooms with a README, and the folders that whole paths begin with. */
const PLACES = find("packages/*", "cmd/*").concat("bench", "build", "docs", "manifests", "packages", "test", "cmd");
const SOURCES = find("*.*", "{bench,build,docs,manifests,test}/**/*.*", "{cmd,packages}/*/**/*.*");
/** Files that the installer and a build make, and names that stand for those of every room. */
const NOT_ONE_SOURCE = [
  ...["k3s-killall.sh", "k3s-uninstall.sh", "k3s-agent-uninstall.sh", "build/components.lock.json"],
  ...["src/index.ts", "errors.ts"],
];
const SOURCE_NAME = /\.(?:ts|cjs|mjs|sh|md|c)$/;

/** Words in backticks that name a file of ours. Absolute paths are those of other machines; `<…>` and `*` stand for many. */
function fileNames(page: string): readonly string[] {
  const text = page.replace(/^```[^]*?^```/gm, "");
  const words = [...text.matchAll(/`([^`\n]+)`/g)].flatMap(([, code = ""]) => code.split(/\s+/));
  const isOurs = (word: string) => SOURCE_NAME.test(word) || PLACES.some((place) => word.startsWith(`${place}/`));
  return words.filter((word) => /^\w[\w./@-]*$/.test(word) && isOurs(word) && !NOT_ONE_SOURCE.includes(word));
}

/** A path is told from the root or from the page's own room; a bare name belongs to that room, or on pages of the root to any. */
function isThere(name: string, page: string): boolean {
  const room = dirname(page);
  const starts = ["", room, join(room, "src"), join(room, "test")];
  if (starts.some((start) => existsSync(join(ROOT, start, name)))) return true;
  return (
    !name.includes("/") && SOURCES.some((path) => basename(path) === name && (room === "." || path.startsWith(room)))
  );
}

describe("pages about the sources", () => {
  const codes = new Set(
    [...find("{cmd,packages}/*/src/**/*.ts", "build/src/*.ts"), "build/bootstrap.sh", "install.sh"]
      .flatMap((path) => read(path).match(/\bERR_[A-Z0-9_]+/g) ?? [])
      .sort(),
  );

  test("are found", () => {
    for (const page of ["README.md", "docs/errors.md", "packages/process/DESIGN.md", "cmd/k3s/README.md"])
      assert.ok(PAGES.includes(page), page);
    assert.ok(PAGES.flatMap((page) => fileNames(read(page))).length > 50);
  });

  for (const page of PAGES) {
    test(`${page} names files, codes and pages that exist`, () => {
      const text = read(page);
      const links = [...text.matchAll(/\]\(([^)#:\s]+)(?:#[^)]*)?\)/g)].map(([, link = ""]) => link);
      const missing = [
        ...fileNames(text).filter((name) => !isThere(name, page)),
        ...(text.match(/\bERR_[A-Z0-9_]+/g) ?? []).filter((code) => !codes.has(code)),
        ...links.filter((link) => !existsSync(join(ROOT, dirname(page), link))),
        ...(text.match(/^(?:<{7}|>{7}|={7}$).*/gm) ?? []),
      ];
      assert.deepEqual(missing, []);
    });
  }
});

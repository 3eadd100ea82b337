import { spawn } from "node:child_process";
import { once } from "node:events";
import { glob } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { unpackDebianClosure, type SourceContext } from "@k3s/components";
import { provideCachedFolder } from "./cached-folder.ts";
import { cacheDirectory } from "./component-options.ts";
import { runMain, type BuildHost } from "./run-main.ts";
import { provideTestPrograms } from "./test-programs.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Debian has MySQL in its unstable suite alone. */
const SUITE = "sid";
/** Tests of the driver, and of what else meets MariaDB. */
const FILES = [
  "packages/datastore-mysql/test/*.test.ts",
  "packages/datastore-endpoint/test/databases.test.ts",
  "cmd/k3s/test/datastore-{databases,inspect}.test.ts",
  "packages/server/test/commit-hints.test.ts",
  "test/cases/{databases,hard-databases,disk-tables,operation}*.test.ts",
];
const TEST_LIMIT_MS = 300_000;

/** Fetches the MySQL of Debian unstable, once, and runs the named test files on it, or all that would run on MariaDB. */
async function main({ argv, environment, progress, signal }: BuildHost): Promise<number> {
  const context = { cacheDir: cacheDirectory(environment), environment, progress, signal };
  const programs = await provideTestPrograms(context);
  const mysql = await provideMysql(context);
  const files = argv.length > 0 ? argv : await Array.fromAsync(glob(FILES, { cwd: ROOT }));
  const limits = [`--test-timeout=${TEST_LIMIT_MS}`, "--test-concurrency=1"];
  const child = spawn(process.execPath, ["--test", ...limits, ...files], {
    cwd: ROOT,
    env: {
      K3S_TEST_BIN_DIR: [join(ROOT, "dist/lib/components/bin"), programs].join(delimiter),
      ...environment,
      K3S_TEST_MYSQL_ROOT: mysql,
      PATH: `${join(ROOT, "node_modules/.bin")}:${environment["PATH"] ?? "/usr/bin:/bin"}`,
    },
    stdio: "inherit",
    signal,
  });
  const [code] = (await once(child, "close")) as [number | null];
  return code ?? 1;
}

/** Its root folder, kept in the cache: a version stays until that folder is removed. */
async function provideMysql(context: SourceContext): Promise<string> {
  const make = (root: string) => unpackDebianClosure({ names: ["mysql-server-core"], suite: SUITE }, root, context);
  return provideCachedFolder({ name: "mysql", recipe: import.meta.filename, make }, context);
}

await runMain(main);

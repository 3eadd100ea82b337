import { access, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { unpackDebianPackages, type DebianPackages, type SourceContext } from "@k3s/components";
import { provideCachedFolder } from "./cached-folder.ts";

interface TestProgram {
  readonly path: string;
  readonly packages: readonly string[];
  /** Of another Debian than this machine's; its packages get by with the libraries of this one. */
  readonly suite?: "trixie";
  /** Tests start it as it is, so it has to find the libraries of its packages; servers are told by their tests. */
  readonly needsLibraries?: boolean;
}

/**
 * Programs of others that tests need and the product does not: where they lie in their packages. The packages named with them
 * bring libraries that a bare Debian lacks.
 */
const PROGRAMS: Readonly<Record<string, TestProgram>> = {
  mariadbd: {
    path: "usr/sbin/mariadbd",
    packages: ["mariadb-server-core", "mariadb-client-core", "libaio1", "liburing2", "libnuma1"],
  },
  "nats-server": { path: "usr/sbin/nats-server", packages: ["nats-server"] },
  postgres: {
    path: "usr/lib/postgresql/15/bin/postgres",
    packages: ["postgresql-15", "postgresql-client-15", "libpq5", "libxslt1.1", "libicu72", "libxml2"],
  },
  pgbouncer: {
    path: "usr/sbin/pgbouncer",
    packages: ["pgbouncer", "libevent-2.1-7", "libc-ares2"],
    needsLibraries: true,
  },
  nghttp: {
    path: "usr/bin/nghttp",
    packages: ["nghttp2-client", "libnghttp2-14", "libc-ares2", "libev4", "libjansson4", "libjemalloc2"],
    needsLibraries: true,
  },
  haproxy: {
    path: "usr/sbin/haproxy",
    packages: ["haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"],
    needsLibraries: true,
  },
  shellcheck: { path: "usr/bin/shellcheck", packages: ["shellcheck", "libgmp10", "libffi8"], needsLibraries: true },
  // The contract of the etcd API is etcd from 3.5 on, which Debian 12 has not: `etcd` and `etcdctl` of the component set are 3.4.
  "etcd-3.5": { path: "usr/bin/etcd", packages: ["etcd-server"], suite: "trixie" },
  "etcdctl-3.5": { path: "usr/bin/etcdctl", packages: ["etcd-client"], suite: "trixie" },
  h2load: { path: "usr/bin/h2load", packages: [], needsLibraries: true },
};
const LIBRARIES = "usr/lib/x86_64-linux-gnu";

/** A folder with links to the programs, unpacked once per list of them and kept in the cache. */
export async function provideTestPrograms(context: SourceContext): Promise<string> {
  const make = (staging: string, folder: string) => unpack(staging, folder, context);
  return join(await provideCachedFolder({ name: "test-programs", recipe: import.meta.filename, make }, context), "bin");
}

/** `folder`: where it all lies in the end. */
async function unpack(staging: string, folder: string, context: SourceContext): Promise<void> {
  await mkdir(join(staging, "bin"), { recursive: true });
  for (const [root, packages] of packagesByRoot()) await unpackDebianPackages(packages, join(staging, root), context);
  for (const [name, program] of Object.entries(PROGRAMS)) {
    const { path, needsLibraries = false } = program;
    const root = rootOf(program);
    await access(join(staging, root, path));
    const link = join(staging, "bin", name);
    if (needsLibraries) await writeFile(link, wrapper(join(folder, root), path), { mode: 0o755 });
    else await symlink(join("..", root, path), link);
  }
}

function packagesByRoot(): ReadonlyMap<string, DebianPackages> {
  const programs = Map.groupBy(Object.values(PROGRAMS), rootOf);
  return new Map(
    [...programs].map(([root, sharers]) => {
      const names = [...new Set(sharers.flatMap((program) => program.packages))];
      const suite = sharers[0]?.suite;
      return [root, { names, ...(suite === undefined ? {} : { suite }) }];
    }),
  );
}

/** A suite has a root of its own: libraries of two do not mix. */
function rootOf({ suite }: TestProgram): string {
  return suite === undefined ? "root" : `root-${suite}`;
}

function wrapper(root: string, path: string): string {
  return `#!/bin/sh\nLD_LIBRARY_PATH='${join(root, LIBRARIES)}' exec '${join(root, path)}' "$@"\n`;
}

import { join } from "node:path";
import { unpackDebianPackages, type SourceContext } from "@k3s/components";
import { provideCachedFolder } from "./cached-folder.ts";

/** Compiler and tools for another processor. */
export interface CrossTools {
  /** The C compiler with the arguments that it needs wherever its packages were unpacked. */
  readonly compiler: readonly string[];
  readonly strip: string;
  /** For all of them. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Debian 12's, and the libraries that they need and a bare machine lacks. */
const PACKAGES = [
  ...["gcc-12-aarch64-linux-gnu", "cpp-12-aarch64-linux-gnu", "libgcc-12-dev-arm64-cross", "libgcc-s1-arm64-cross"],
  ...["binutils-aarch64-linux-gnu", "binutils-common", "libbinutils"],
  ...["libc6-arm64-cross", "libc6-dev-arm64-cross", "linux-libc-dev-arm64-cross"],
  ...["libisl23", "libmpc3", "libmpfr6", "libgmp10", "libjansson4", "libzstd1", "zlib1g"],
];

/** Debian's cross compiler for arm64, unpacked once and kept in the cache; nothing is installed. */
export async function provideCrossTools(context: SourceContext): Promise<CrossTools> {
  const make = (staging: string) => unpackDebianPackages({ names: PACKAGES }, join(staging, "root"), context);
  const folder = await provideCachedFolder({ name: "cross-arm64", recipe: import.meta.filename, make }, context);
  const root = join(folder, "root");
  const target = join(root, "usr/aarch64-linux-gnu");
  return {
    compiler: [
      join(root, "usr/bin/aarch64-linux-gnu-gcc-12"),
      ...[`--sysroot=${root}`, `-B${target}/lib`, `-B${target}/bin`, `-L${target}/lib`],
      ...["-isystem", join(target, "include")],
    ],
    strip: join(root, "usr/bin/aarch64-linux-gnu-strip"),
    environment: { ...context.environment, LD_LIBRARY_PATH: join(root, "usr/lib/x86_64-linux-gnu") },
  };
}

import { execFile } from "node:child_process";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { temporaryFolder } from "./temporary-folder.ts";

const run = promisify(execFile);
const UNPACK = join(import.meta.dirname, "../fixtures/unpack.ts");

/** Why components were not unpacked, and what is left in the folder of unpacked ones. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly left: readonly string[];
}

/**
 * Unpacks components onto a tmpfs mounted with `options` and returns why that was refused. The mount is in a namespace of the process
 * that unpacks, and goes with it however that ends.
 */
export async function unpackOnDisk(t: TestContext, from: string, options: string): Promise<Refusal> {
  const disk = await temporaryFolder(t);
  const script = 'mount -t tmpfs -o "$0" tmpfs "$1" && exec "$2" "$3" "$4" "$1" explain';
  const args = [
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-c",
    script,
    options,
    disk,
    process.execPath,
    UNPACK,
    from,
  ];
  const { stdout } = await run("unshare", args);
  return JSON.parse(stdout) as Refusal;
}

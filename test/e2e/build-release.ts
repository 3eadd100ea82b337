import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const BUILD = join(import.meta.dirname, "../../build/src/next-release.ts");

/** Builds the product as another release, `suffix` at the end of its version, and returns the executable. */
export async function buildRelease(suffix: string, undo: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-release-"));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const executable = join(folder, "k3s");
  await promisify(execFile)(process.execPath, [BUILD, "--suffix", suffix, "--out", executable]);
  return executable;
}

import { createHash } from "node:crypto";
import { access, rename, rm } from "node:fs/promises";
import { readIfExists, writeFileAtomic } from "@k3s/files";

/** Makes `path` by way of a temporary file, unless it was made from the same input before. */
export async function unlessMade(
  path: string,
  input: readonly string[],
  make: (temporary: string) => Promise<void>,
): Promise<void> {
  const stamp = `${path}.made-from`;
  const digest = createHash("sha256").update(input.join("\n")).digest("hex");
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  if (isThere && (await readIfExists(stamp))?.toString() === digest) return;
  const temporary = `${path}.tmp-${process.pid}`;
  try {
    await make(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  await writeFileAtomic(stamp, digest, { mode: 0o644 });
}

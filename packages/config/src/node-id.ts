import { randomBytes } from "node:crypto";
import { dirname } from "node:path";
import { makeDirectory, readIfExists, writeFileAtomic } from "@k3s/files";

/** Eight hex digits that were made once for this machine (k3s keeps them beside the node's password). */
export async function ensureNodeId(path: string): Promise<string> {
  const found = (await readIfExists(path))?.toString("utf8").trim() ?? "";
  if (found !== "") return found;
  const made = randomBytes(4).toString("hex");
  await makeDirectory(dirname(path), 0o755);
  await writeFileAtomic(path, `${made}\n`, { mode: 0o644 });
  return made;
}

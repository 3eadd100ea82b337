import { randomBytes } from "node:crypto";
import { dirname } from "node:path";
import { makeDirectory, readIfExists, writeFileAtomic } from "@k3s/files";
import { ConfigError } from "./errors.ts";
import type { NodeConfig } from "./node-config.ts";
import { NODE_ID_FILE } from "./paths.ts";

/** Eight hex digits that stand for this machine; `isNew`: they were just made, and stand in no file yet. */
interface NodeId {
  readonly id: string;
  readonly isNew: boolean;
}

/** The id of this machine (k3s keeps it beside the node's password), or a new one where there is none. Writes nothing. */
export async function findNodeId(path: string): Promise<NodeId> {
  const found = (await readIfExists(path))?.toString("utf8").trim() ?? "";
  return found === "" ? { id: randomBytes(4).toString("hex"), isNew: true } : { id: found, isNew: false };
}

/** Writes the new id of this machine down, where the configuration has one. Rejects with ConfigError. */
export async function saveNodeId({ newNodeId }: Pick<NodeConfig, "newNodeId">, path = NODE_ID_FILE): Promise<void> {
  if (newNodeId === undefined) return;
  try {
    await makeDirectory(dirname(path), 0o755);
    await writeFileAtomic(path, `${newNodeId}\n`, { mode: 0o644 });
  } catch (error) {
    throw ConfigError.nodeIdUnwritable(path, error);
  }
}

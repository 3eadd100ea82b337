import { stat } from "node:fs/promises";
import type { NodeConfig } from "@k3s/config";
import { acquireLock, LockHeldError, makeDirectory, type Lock } from "@k3s/files";
import { isLeftover, ownerOf } from "@k3s/process";
import { PreflightError } from "../errors.ts";
import type { NodePlan } from "../node-roles.ts";
import { checkDataDir } from "./check-data-dir.ts";
import { checkIdentity } from "./check-identity.ts";
import { checkPlaces } from "./check-places.ts";
import { checkPorts } from "./check-ports.ts";

/**
 * Finds out whether a node can start here, and takes the lock on its data dir. Rejects with PreflightError.
 * The data dir is made last, so that a refusal leaves nothing behind.
 */
export async function runPreflight({ role, config, ports, places }: Omit<NodePlan, "components">): Promise<Lock> {
  const { dataDir } = config;
  checkIdentity(role, { uid: process.geteuid?.() ?? 0, nowMs: Date.now() });
  await checkDataDir(dataDir);
  await checkPlaces(config.bindAddress, places);
  // A k3s that runs on the same data dir holds our ports too: the lock has the better answer.
  const early = (await exists(dataDir)) ? await lockDataDir(config) : undefined;
  try {
    const owner = await ownerOf(dataDir);
    await checkPorts(ports, (pid) => isLeftover(owner, pid));
    if (early !== undefined) return early;
    await makeDirectory(dataDir, 0o755);
    return await lockDataDir(config);
  } catch (error) {
    await early?.release();
    throw error;
  }
}

async function lockDataDir({ dataDir, paths }: NodeConfig): Promise<Lock> {
  try {
    return await acquireLock(paths.lockFile);
  } catch (error) {
    if (error instanceof LockHeldError) throw PreflightError.alreadyRunning(dataDir, error.owner);
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

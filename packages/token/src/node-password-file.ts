import { randomBytes } from "node:crypto";
import { chmod, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { makeDirectory, readIfExists, writeFileAtomic } from "@k3s/files";
import { TokenError } from "./errors.ts";

export interface NodePasswordOptions {
  /** Usually /etc/rancher/node/password. */
  readonly path: string;
  /** Where old releases kept it (`agent/node-password.txt`); moved to `path` when it exists. */
  readonly legacyPath?: string;
}

/** The password that proves a node to be the one that first joined under its name; made when missing. */
export async function ensureNodePassword(options: NodePasswordOptions): Promise<string> {
  const { path, legacyPath } = options;
  try {
    const legacy = legacyPath === undefined ? undefined : await readPassword(legacyPath);
    if (legacy === undefined) return (await readPassword(path)) ?? (await store(path, newPassword()));
    await store(path, legacy);
    if (legacyPath !== undefined) await rm(legacyPath, { force: true });
    return legacy;
  } catch (error) {
    throw TokenError.fileUnusable(path, error);
  }
}

async function readPassword(path: string): Promise<string | undefined> {
  const text = (await readIfExists(path))?.toString("utf8").trim();
  if (text === undefined || text === "") return undefined;
  await chmod(path, 0o600);
  return text;
}

async function store(path: string, password: string): Promise<string> {
  await makeDirectory(dirname(path), 0o755);
  await writeFileAtomic(path, `${password}\n`, { mode: 0o600 });
  return password;
}

function newPassword(): string {
  return randomBytes(16).toString("hex");
}

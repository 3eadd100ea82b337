import { chown, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { ensureSymlink, makeDirectory } from "@k3s/files";
import { PkiError } from "./errors.ts";
import { formatEmbeddedKubeconfig } from "./kubeconfig.ts";
import { serverTlsPaths } from "./paths.ts";
import { readText, writeText } from "./pki-files.ts";

/** Where the administrator's kubeconfig goes, and what it says. */
export interface AdminKubeconfigOptions {
  readonly serverDir: string;
  /** Where people reach the server, for instance https://127.0.0.1:6443. */
  readonly server: string;
  /** `--write-kubeconfig`, or the same as `wellKnownPath`. */
  readonly path: string;
  /** /etc/rancher/k3s/k3s.yaml: a link to `path` when that is another. */
  readonly wellKnownPath: string;
  /** `--write-kubeconfig-name`: of cluster, user and context. */
  readonly name: string;
  /** `--write-kubeconfig-mode`, for instance 0o600. */
  readonly mode: number;
  /** `--write-kubeconfig-group`: name or number. */
  readonly group?: string;
}

/** Writes the kubeconfig for the people who run this server. Rejects with PkiError. */
export async function writeAdminKubeconfig(options: AdminKubeconfigOptions): Promise<void> {
  const tls = serverTlsPaths(options.serverDir);
  const sources = [tls.serverCa.cert, tls.clientAdmin.cert, tls.clientAdmin.key];
  const [ca, cert, key] = await Promise.all(sources.map(required));
  const groupId = options.group === undefined ? undefined : await findGroup(options.group);
  const parts = { server: options.server, name: options.name, ca: ca ?? "", cert: cert ?? "", key: key ?? "" };
  try {
    await makeDirectory(dirname(options.path), 0o755);
    await writeText(options.path, { text: formatEmbeddedKubeconfig(parts), mode: options.mode });
    if (groupId !== undefined) await chown(options.path, process.getuid?.() ?? 0, groupId);
    if (options.path !== options.wellKnownPath) await linkWellKnown(options);
  } catch (error) {
    throw error instanceof PkiError ? error : PkiError.unwritable(options.path, error);
  }
}

async function required(path: string): Promise<string> {
  const text = await readText(path);
  if (text === undefined) throw PkiError.unreadable(path, new Error("there is no such file"));
  return text;
}

async function findGroup(group: string): Promise<number> {
  if (/^\d+$/.test(group)) return Number(group);
  const lines = (await readFile("/etc/group", "utf8").catch(() => "")).split("\n");
  const id = lines.map((line) => line.split(":")).find(([name]) => name === group)?.[2];
  if (id === undefined) throw PkiError.unknownGroup(group);
  return Number(id);
}

async function linkWellKnown({ path, wellKnownPath }: AdminKubeconfigOptions): Promise<void> {
  await makeDirectory(dirname(wellKnownPath), 0o755);
  await ensureSymlink(path, wellKnownPath);
}

import type { BootstrapContent } from "./content.ts";
import { backUpTls, isFresh, readFiles, writeFiles } from "./disk.ts";
import { BootstrapError } from "./errors.ts";

/** A file this much younger than its stored copy was changed on purpose. */
const NEWER_BY_NS = 3_000_000_000n;
const SECOND_NS = 1_000_000_000n;

export interface ReconcileRequest {
  readonly content: BootstrapContent;
  readonly serverDir: string;
  readonly paths: ReadonlyMap<string, string>;
  /** `--cluster-reset`: the record wins over everything, after a backup. */
  readonly isClusterReset: boolean;
  readonly now: Date;
}

/** `unchanged`: disk and record say the same. `restored`: files were written from the record. */
export type Reconciliation =
  | { readonly kind: "unchanged" }
  | { readonly kind: "restored"; readonly paths: readonly string[]; readonly backup?: string };

/** How the files on disk stand to the record. Paths; a file in both lists does not exist. */
interface Comparison {
  /** Missing on disk, or different and not newer. */
  readonly outdated: readonly string[];
  readonly newerOnDisk: readonly string[];
}

/**
 * Brings the disk in line with the record. Rejects with BootstrapError, having written nothing, when a file on disk is
 * newer than its stored copy.
 */
export async function reconcile(request: ReconcileRequest): Promise<Reconciliation> {
  const { content, serverDir, paths } = request;
  const all = [...paths].filter(([member]) => content.has(member)).map(([, path]) => path);
  if (await isFresh(serverDir)) {
    await writeFiles(content, paths);
    return { kind: "restored", paths: all };
  }
  const comparison = compareFiles(request, await readFiles(paths));
  if (request.isClusterReset) {
    const backup = await backUpTls(serverDir, request.now);
    await writeFiles(content, paths);
    return { kind: "restored", paths: all, backup };
  }
  if (comparison.newerOnDisk.length > 0) throw BootstrapError.newerOnDisk(comparison.newerOnDisk);
  if (comparison.outdated.length === 0) return { kind: "unchanged" };
  await writeFiles(content, paths);
  return { kind: "restored", paths: comparison.outdated };
}

/** Sorts the files of the record by how the disk differs from it. */
function compareFiles(
  { content, paths }: Pick<ReconcileRequest, "content" | "paths">,
  onDisk: BootstrapContent,
): Comparison {
  const outdated: string[] = [];
  const newerOnDisk: string[] = [];
  for (const [member, path] of paths) {
    const stored = content.get(member);
    if (stored === undefined) continue;
    const present = onDisk.get(member);
    if (present?.content.equals(stored.content) === true) continue;
    const aheadNs = present === undefined ? 0n : present.timestamp - stored.timestamp;
    // Whole seconds: 2.9 s ahead count as 2.
    if (aheadNs - (aheadNs % SECOND_NS) >= NEWER_BY_NS) newerOnDisk.push(path);
    else outdated.push(path);
  }
  return { outdated, newerOnDisk };
}

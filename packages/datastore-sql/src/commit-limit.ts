import type { CommitBatch } from "@k3s/datastore";

/** For a commit of ordinary size: the API server's own requests end after ten seconds or a little more. */
export const WRITE_LIMIT_MS = 10_000;
/** What each row adds: databases on slow disks write 10,000 rows a second and more, and this is a fifth of that. */
const ROW_LIMIT_MS = 0.5;

/** How long a commit may take before it is given up, in ms: etcd deletes any number of keys in one transaction. */
export function commitLimitMs({ rows }: Pick<CommitBatch, "rows">): number {
  return WRITE_LIMIT_MS + rows.length * ROW_LIMIT_MS;
}

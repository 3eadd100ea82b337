import type { DatastoreStatus } from "./datastore-status.ts";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const SLOWEST_MAX = 5;

/** The status for people, a line for each thing. */
export function formatStatus(status: DatastoreStatus): string {
  const { rows, leases, findings } = status;
  const lines: readonly (readonly [string, string])[] = [
    ["datastore", status.datastore],
    [
      "server",
      status.server === null ? (status.serverNote ?? "not known") : `answers as etcd ${status.server.version}`,
    ],
    ["size", `${formatBytes(status.sizeBytes)}, ${formatBytes(status.sizeInUseBytes)} of it in use`],
    ["keys", String(status.keys)],
    ["rows", rows === null ? "not known" : formatRows(rows)],
    ["revisions", formatRevisions(status)],
    ["leases", formatLeases(leases)],
    ["slowest", formatSlowest(status.slowestStatements)],
    ["integrity", formatIntegrity(findings)],
  ];
  const text = lines.map(([name, value]) => `${`${name}:`.padEnd(12)}${value}\n`).join("");
  return text + (findings ?? []).map((finding) => `  ${finding}\n`).join("");
}

function formatRows(rows: NonNullable<DatastoreStatus["rows"]>): string {
  const waiting = rows.awaitingRemoval === 0 ? "" : `, ${rows.awaitingRemoval} to be removed by compaction`;
  return `${rows.total} (${rows.replaced} replaced, ${rows.tombstones} deletions, ${rows.gaps} gaps${waiting})`;
}

function formatRevisions({ firstRevision, revision, compactRevision }: DatastoreStatus): string {
  const range = firstRevision === null ? String(revision) : `${firstRevision} to ${revision}`;
  return compactRevision === null
    ? `${range}, the compacted one is not known`
    : `${range}, compacted up to ${compactRevision}`;
}

function formatLeases({ count, oldest }: DatastoreStatus["leases"]): string {
  if (oldest === null) return String(count);
  return `${count}, the oldest is ${oldest.id} of ${oldest.ttlSeconds} s, renewed at ${oldest.renewedAt}`;
}

function formatSlowest(slowest: DatastoreStatus["slowestStatements"]): string {
  if (slowest === null) return "not known: no server of ours answers";
  const shown = slowest.slice(0, SLOWEST_MAX).map(({ name, seconds }) => `${name} ${(seconds * 1000).toFixed(1)} ms`);
  return shown.length === 0 ? "none yet" : shown.join(", ");
}

function formatIntegrity(findings: DatastoreStatus["findings"]): string {
  if (findings === null) return "not known";
  if (findings.length > 0) return "see below";
  return "rows are consistent, their values were not read; k3s datastore check looks deeper";
}

function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit] ?? ""}`;
}

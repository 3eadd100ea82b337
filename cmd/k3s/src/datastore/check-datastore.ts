import { DriverError, type LeaseId, type SideState } from "@k3s/datastore";
import { NodeError } from "@k3s/errors";
import type { ToolParts } from "./datastore-status.ts";
import { FINDING_CURES } from "./finding-cures.ts";
import { inspectRows, type RowsReport } from "./inspect-rows.ts";
import { readAllKeys } from "./read-all-keys.ts";
import type { LiveServer, Target } from "./tool-target.ts";
import { withRows, type RowSource } from "./with-rows.ts";

/** What a check found. */
export interface CheckResult {
  readonly datastore: string;
  /** What was looked at, as sentences. */
  readonly checked: readonly string[];
  /** What is wrong, as sentences; empty: nothing. */
  readonly findings: readonly string[];
  /** What to do about all of it, as sentences; null: nothing is wrong. */
  readonly cure: string | null;
}

/** Looks for damage without changing anything; reads everything. Rejects with NodeError or EtcdCallError. */
export async function checkDatastore(target: Target, { log, signal }: ToolParts): Promise<CheckResult> {
  const { database, server, label } = target;
  if (database !== undefined)
    return await withRows({ database, log, signal }, async (source) => ({
      datastore: label,
      ...(await checkRows(source, { signal, isChanging: database.endpoint.kind === "nats" })),
    }));
  if (server === undefined) throw new Error("Cannot check a datastore: there is neither a database nor a server");
  return { datastore: label, ...(await checkServer(server, signal)) };
}

interface RowChecks {
  readonly signal: AbortSignal;
  /** Whether a server that compacts meanwhile makes rows and leases be of two moments. */
  readonly isChanging: boolean;
}

async function checkRows(
  source: RowSource,
  { signal, isChanging }: RowChecks,
): Promise<Omit<CheckResult, "datastore">> {
  const integrity = await source.integrity?.();
  const damage = [...(integrity?.findings ?? [])];
  const checked = [
    integrity === undefined ? "what a server needs to find in the database" : "the pages and indexes of the file",
  ];
  const findings: string[] = [];
  const cures = new Set<string>();
  const find = (found: Iterable<string>, ...advice: readonly string[]): void => {
    const before = findings.length;
    findings.push(...found);
    if (findings.length > before) for (const cure of advice) cures.add(cure);
  };
  const attempt = async (what: string, look: () => Promise<void>): Promise<void> => {
    try {
      await look();
    } catch (error) {
      if (integrity === undefined || !isDamage(error)) throw error;
      damage.push(`${what} cannot be read to their end`);
    }
  };
  let rows: RowsReport | undefined;
  await attempt("the rows, for duplicates,", async () =>
    find(await source.findings(), integrity === undefined ? FINDING_CURES.database : FINDING_CURES.duplicates),
  );
  await attempt("the rows", async () => {
    rows = await inspectRows(source, signal);
    checked.push(`${rows.rows} rows, each with the one before it`);
    find(rows.findings, ...rows.cures);
  });
  await attempt("the leases and transactions", async () => {
    const side = rows?.side ?? (await source.side());
    checked.push(`${side.leases.length} leases and ${side.spans.length} transactions of several rows`);
    find(findBadSpans(side), FINDING_CURES.spans);
    if (rows !== undefined && !isChanging) find(findLongSpans(side, rows), FINDING_CURES.spans);
    if (rows !== undefined) find(findOrphans(side, rows), FINDING_CURES.leases);
    if (rows !== undefined && !isChanging) find(findLost(side, rows), FINDING_CURES.lostRows);
  });
  const advice = [...(integrity !== undefined && damage.length > 0 ? [integrity.cure] : []), ...cures];
  return { checked, findings: [...damage, ...findings], cure: advice.length === 0 ? null : advice.join(". ") };
}

/** The rest can still be looked at. */
function isDamage(error: unknown): boolean {
  return error instanceof DriverError && error.cause instanceof NodeError;
}

/** Replaced rows keep the names of leases that have ended since. */
function* findOrphans({ leases, rowLeases }: SideState, { newest }: RowsReport): Iterable<string> {
  const known = new Set(leases.map(({ id }) => id));
  const isOrphan = (lease: LeaseId | undefined) => lease !== undefined && lease !== 0n && !known.has(lease);
  const orphans = [...newest.values()].filter(({ id, isDeleted }) => !isDeleted && isOrphan(rowLeases.get(id))).length;
  if (orphans > 0) yield `${orphans} keys name a lease that does not exist`;
}

function* findBadSpans({ spans }: SideState): Iterable<string> {
  for (const { first, last } of spans) if (first > last) yield `a transaction goes from row ${first} to row ${last}`;
}

/** The rows of a transaction are compacted or there, and what kine compacts leaves the transaction. */
function* findLongSpans({ spans }: SideState, { lastRow, compactRevision }: RowsReport): Iterable<string> {
  const end = Math.max(lastRow, compactRevision);
  for (const { first, last } of spans)
    if (last > end) yield `a transaction goes from row ${first} to row ${last}, and the last row is ${lastRow}`;
}

/**
 * Our compaction removes the lease of a row together with the row, kine's leaves it, and neither removes what is above the compacted
 * revision. Above the last row stands what was written after the rows were read.
 */
function* findLost({ rowLeases }: SideState, { hasRow, compactRevision, lastRow }: RowsReport): Iterable<string> {
  const kept = [...rowLeases.keys()].filter((row) => row > compactRevision && row < lastRow);
  const lost = kept.filter((row) => !hasRow(row)).sort((a, b) => a - b);
  if (lost.length > 0) yield `${lost.length} rows that had a lease are missing, the first is row ${lost[0]}`;
}

/** The whole range is read and counted: an etcd checks its own file. */
async function checkServer({ client }: LiveServer, signal: AbortSignal): Promise<Omit<CheckResult, "datastore">> {
  let keys = 0;
  let expected = 0;
  for await (const { kvs, count, isFirst } of readAllKeys(client, { prefix: "", keysOnly: false, signal })) {
    if (isFirst) expected = count;
    keys += kvs.length;
  }
  const checked = [`${keys} keys with their values, read from the server`];
  if (keys === expected) return { checked, findings: [], cure: null };
  return { checked, findings: [`the server counts ${expected} keys and gives ${keys}`], cure: FINDING_CURES.server };
}

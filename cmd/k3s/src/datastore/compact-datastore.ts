import { sleep } from "@k3s/async";
import { openStore, StoreError, type Driver } from "@k3s/datastore";
import { sqliteFile } from "@k3s/datastore-endpoint";
import { NodeError } from "@k3s/errors";
import { EtcdCallError } from "@k3s/etcd-client";
import { DatastoreToolError } from "../errors.ts";
import type { ToolParts } from "./datastore-status.ts";
import { inspectRows, type RowsReport } from "./inspect-rows.ts";
import { openDatabase, type DatabaseAccess } from "./open-database.ts";
import { readServerMetrics } from "./server-metrics.ts";
import type { LiveServer, Target } from "./tool-target.ts";
import { withRows } from "./with-rows.ts";

export interface CompactRequest extends ToolParts {
  /** Undefined: as many revisions before the current one as `retain` says. */
  readonly revision: number | undefined;
  readonly retain: number;
}

/** What became of it. */
export interface Compaction {
  readonly datastore: string;
  /** What is compacted now, also where there was nothing to forget. Null: its server does not tell. */
  readonly compactRevision: number | null;
  /** Undefined where the server removes them later. */
  readonly removedRows: number | undefined;
  /** Why there was nothing to forget; absent where there was something. */
  readonly nothingToForget?: string;
}

type Outcome = Omit<Compaction, "datastore">;

/** What etcd says of a revision that it has forgotten. */
const FORGOTTEN = "etcdserver: mvcc: required revision has been compacted";
/** Between two looks whether the rows are gone. */
const POLL_MS = 200;
/** As many looks without a change mean that no more will go now. */
const STANDSTILL_LOOKS = 10;

/** Forgets history. A server that runs is asked to; without one the database is opened as a server would. Rejects with NodeError. */
export async function compactDatastore(target: Target, request: CompactRequest): Promise<Compaction> {
  try {
    if (target.server !== undefined) return { datastore: target.label, ...(await compactOn(target.server, request)) };
    return { datastore: target.label, ...(await compactFile(target, request)) };
  } catch (error) {
    const isRefusal = error instanceof StoreError || (error instanceof EtcdCallError && !error.isAway);
    if (isRefusal) throw DatastoreToolError.refused("compact the datastore", error.message);
    throw error;
  }
}

async function compactOn(server: LiveServer, request: CompactRequest): Promise<Outcome> {
  const { client } = server;
  return await unlessForgotten(request, {
    current: (await client.status()).revision,
    compacted: async () => (await readServerMetrics(server)).compactRevision,
    compact: async (at) => {
      await client.compact(at);
      return undefined;
    },
  });
}

async function compactFile({ database }: Target, request: CompactRequest): Promise<Outcome> {
  if (database === undefined) throw new Error("Cannot compact: there is neither a database nor a server");
  const { log, signal } = request;
  const access = { database, log, signal };
  const driver = await openPresent(access).catch((error: unknown) => {
    const isLocked = error instanceof NodeError && error.code === "ERR_SQLITE_LOCKED";
    if (!isLocked || database.endpoint.kind !== "sqlite") throw error;
    throw DatastoreToolError.inUse(sqliteFile(database.endpoint.dsn, database.folder), error);
  });
  const store = await openStore(driver, { log });
  try {
    return await unlessForgotten(request, {
      current: store.currentRevision,
      compacted: async () => (await store.status()).compactRevision,
      compact: async (at) => {
        const before = await inspectRows(driver, signal);
        await store.compact(at);
        const after = await untilRemoved(driver, signal);
        return Math.max(0, before.rows - after.rows);
      },
    });
  } finally {
    await store.close();
  }
}

/** A server makes a database that is not there; whoever compacts has named it wrongly. */
async function openPresent(access: DatabaseAccess): Promise<Driver> {
  await withRows(access, () => Promise.resolve());
  return openDatabase(access);
}

/**
 * Resolves when no superfluous row is left, or when their number has stood still: NATS keeps the newest message of a bucket, and the
 * rows of another server that is at work may need more time.
 */
async function untilRemoved(driver: Driver, signal: AbortSignal): Promise<RowsReport> {
  let report = await inspectRows(driver, signal);
  for (let looks = 0; report.superfluous > 0 && looks < STANDSTILL_LOOKS; looks++) {
    await sleep(POLL_MS, signal);
    const next = await inspectRows(driver, signal);
    if (next.superfluous < report.superfluous) looks = 0;
    report = next;
  }
  return report;
}

interface History {
  readonly current: number;
  /** The compacted revision; null: it is not known. */
  readonly compacted: () => Promise<number | null>;
  /** Answers with the number of rows it removed. */
  readonly compact: (at: number) => Promise<number | undefined>;
}

/**
 * Has `compact` forget what is older than the revision asked for. A job that runs
 * every night finds that done on some of them, which is no failure.
 */
async function unlessForgotten(
  { revision, retain }: CompactRequest,
  { current, compacted, compact }: History,
): Promise<Outcome> {
  const nothing = async (nothingToForget: string): Promise<Outcome> => {
    return { compactRevision: await compacted(), removedRows: 0, nothingToForget };
  };
  if (revision === undefined && current <= retain)
    return await nothing(`its revision is ${current}, so all of its history is among the last ${retain} revisions`);
  const at = revision ?? current - retain;
  try {
    const removedRows = await compact(at);
    return { compactRevision: at, removedRows };
  } catch (error) {
    if (!isForgotten(error)) throw error;
    return await nothing(`what is older than revision ${at} has been compacted before`);
  }
}

function isForgotten(error: unknown): boolean {
  if (error instanceof StoreError) return error.reason === "compacted";
  return error instanceof EtcdCallError && error.details === FORGOTTEN;
}

import type { LeaseRecord } from "@k3s/datastore";
import { sqliteFile } from "@k3s/datastore-endpoint";
import { findSqliteUser } from "@k3s/datastore-sqlite";
import type { EtcdLease } from "@k3s/etcd-client";
import type { Logger } from "@k3s/log";
import { inspectRows } from "./inspect-rows.ts";
import { readServerMetrics, type SlowestStatement } from "./server-metrics.ts";
import type { LiveServer, Target } from "./tool-target.ts";
import { withRows } from "./with-rows.ts";

/** The lease that was renewed longest ago. */
interface OldestLease {
  readonly id: string;
  readonly ttlSeconds: number;
  /** ISO 8601. */
  readonly renewedAt: string;
}

/** How a datastore is. Null: this kind of datastore does not tell. */
export interface DatastoreStatus {
  readonly datastore: string;
  /** The server that answers for it, by the version of etcd that it speaks as. */
  readonly server: { readonly version: string } | null;
  /** The process that serves it without answering here, by its own id; "" when it has not told that. */
  readonly usedBy: string | null;
  /** What is known of a server where none answers, in words. */
  readonly serverNote: string | null;
  readonly sizeBytes: number;
  readonly sizeInUseBytes: number;
  readonly keys: number;
  readonly rows: {
    readonly total: number;
    readonly replaced: number;
    readonly tombstones: number;
    readonly gaps: number;
    readonly awaitingRemoval: number;
  } | null;
  readonly firstRevision: number | null;
  readonly revision: number;
  readonly compactRevision: number | null;
  readonly leases: { readonly count: number; readonly oldest: OldestLease | null };
  /** Null as well when no server runs. */
  readonly slowestStatements: readonly SlowestStatement[] | null;
  /** Contradictions among the rows; `k3s datastore check` looks deeper. */
  readonly findings: readonly string[] | null;
}

export interface ToolParts {
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Looks at a datastore without changing anything. Rejects with NodeError or EtcdCallError. */
export async function readStatus(target: Target, { log, signal }: ToolParts): Promise<DatastoreStatus> {
  const { database, server, label } = target;
  const metrics = server === undefined ? undefined : await readServerMetrics(server);
  const common = { datastore: label, slowestStatements: metrics?.slowestStatements ?? null };
  if (database === undefined) {
    if (server === undefined) throw new Error("Cannot look at a datastore: there is neither a database nor a server");
    return { ...common, compactRevision: metrics?.compactRevision ?? null, ...(await statusOfServer(server)) };
  }
  const version = server === undefined ? null : { version: (await server.client.status()).version };
  return await withRows({ database, log, signal }, async (source) => {
    const used = version === null ? findUser(target) : { usedBy: null, serverNote: null };
    const findings = await source.findings();
    const rows = await inspectRows(source, signal);
    const { totalBytes, inUseBytes } = await source.size();
    const { leases } = rows.side;
    return {
      ...common,
      server: version,
      ...used,
      sizeBytes: totalBytes,
      sizeInUseBytes: inUseBytes,
      keys: rows.liveKeys,
      rows: {
        total: rows.rows,
        replaced: rows.replaced,
        tombstones: rows.tombstones,
        gaps: rows.gaps,
        awaitingRemoval: rows.superfluous,
      },
      firstRevision: rows.firstRow,
      revision: rows.lastRow,
      compactRevision: rows.compactRevision,
      leases: { count: leases.length, oldest: oldestOf(leases.map(ofRecord)) },
      findings: [...findings, ...rows.findings],
    };
  });
}

/** Only a file tells who uses it: a database server has clients on any machine. */
function findUser({ database, socket }: Target): Pick<DatastoreStatus, "usedBy" | "serverNote"> {
  if (database?.endpoint.kind !== "sqlite") {
    const place = socket === undefined ? "no address of one is known" : `none answers at ${socket}`;
    return { usedBy: null, serverNote: `not known: ${place}` };
  }
  const usedBy = findSqliteUser(sqliteFile(database.endpoint.dsn, database.folder));
  if (usedBy === undefined) return { usedBy: null, serverNote: "none found running" };
  const name = usedBy === "" ? "another process" : `process ${usedBy}`;
  return { usedBy, serverNote: `${name} uses it and tells more at its own address: name that with --endpoint` };
}

async function statusOfServer({ client }: LiveServer) {
  const status = await client.status();
  const everything = { key: Buffer.alloc(1), rangeEnd: Buffer.alloc(1), countOnly: true };
  const { count } = await client.range(everything);
  const leases = await client.leases();
  const now = Date.now();
  return {
    server: { version: status.version },
    usedBy: null,
    serverNote: null,
    sizeBytes: status.dbSizeBytes,
    sizeInUseBytes: status.dbSizeInUseBytes,
    keys: count,
    rows: null,
    firstRevision: null,
    revision: status.revision,
    leases: { count: leases.length, oldest: oldestOf(leases.map((lease) => ofEtcd(lease, now))) },
    findings: null,
  };
}

interface RenewedLease {
  readonly id: bigint;
  readonly ttlSeconds: number;
  readonly renewedAtMs: number;
}

function ofRecord({ id, ttlSeconds, expiresAtMs }: LeaseRecord): RenewedLease {
  return { id, ttlSeconds, renewedAtMs: expiresAtMs - ttlSeconds * 1000 };
}

function ofEtcd({ id, grantedTtlSeconds, remainingTtlSeconds }: EtcdLease, now: number): RenewedLease {
  return { id, ttlSeconds: grantedTtlSeconds, renewedAtMs: now - (grantedTtlSeconds - remainingTtlSeconds) * 1000 };
}

function oldestOf(leases: readonly RenewedLease[]): OldestLease | null {
  const [oldest] = leases.toSorted((a, b) => a.renewedAtMs - b.renewedAtMs);
  if (oldest === undefined) return null;
  const { id, ttlSeconds, renewedAtMs } = oldest;
  return { id: id.toString(16).padStart(16, "0"), ttlSeconds, renewedAt: new Date(renewedAtMs).toISOString() };
}

export { hasParts, partsOf } from "./batch-parts.ts";
export { AloneAttempts, TABLE_WAIT_MS } from "./alone-attempts.ts";
export { batchRows, gapName, neededLeases, type BatchRow, type BatchRows, type NeededLeases } from "./batch-rows.ts";
export type { Announcement, Dialect, FailureKind, RowPage, SqlSession } from "./dialect.ts";
export { describeWeakness, DurabilityNotes, type Weakness } from "./durability.ts";
export { limited, TookTooLong } from "./limited.ts";
export { SilentHosts } from "./silent-hosts.ts";
export { SnapshotReader } from "./snapshot-reader.ts";
export { SqlDriver, type PoolOptions } from "./sql-driver.ts";

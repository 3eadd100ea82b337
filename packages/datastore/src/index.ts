export { hasPuts, rowCount } from "./batch.ts";
export { ConnectionUse, sumConnections, type ConnectionStats } from "./connection-use.ts";
export {
  emptyBatch,
  ENDING_MS,
  CLAIM_LIMIT_MS,
  DriverError,
  tableTraits,
  type ChangedRow,
  type Changes,
  type Claim,
  type ClaimScope,
  type CommitBatch,
  type CommitHints,
  type DatabaseReader,
  type DatabaseSize,
  type Driver,
  type DriverErrorKind,
  type DriverTraits,
  type DueLease,
  type ForeignRows,
  type Guests,
  type KeyDeletions,
  type LeaseRecord,
  type NewRow,
  type Position,
  type Pruning,
  type RowHead,
  type RowRefusal,
  type RowSpan,
  type SharedDatabase,
  type SideState,
} from "./driver.ts";
export { COMPACT_KEY, escapeName, isGapName, keyOfName, MARKER_NAME, unpackCompactValue } from "./names.ts";
export { openStore, type OpenStore, type StoreOptions } from "./open-store.ts";
export { StoreError, type StoreErrorReason } from "./store-errors.ts";
export { revision } from "./types.ts";
export type * from "./types.ts";

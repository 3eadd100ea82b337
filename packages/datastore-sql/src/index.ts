export { batchRows, gapName, type BatchRow } from "./batch-rows.ts";
export type { Dialect, FailureKind, RowPage, SqlSession } from "./dialect.ts";
export { SqlDriver, type PoolOptions } from "./sql-driver.ts";

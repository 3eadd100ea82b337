/** How a file is used, where that differs from the default. */
export interface SqliteSettings {
  /** When a commit waits for the disk. Default FULL: what was acknowledged survives a power failure. */
  readonly synchronous?: "OFF" | "NORMAL" | "FULL" | "EXTRA";
  /** How long a write waits for another program. Default 30 s, as in kine. */
  readonly busyTimeoutMs?: number;
  /** Page cache of each connection: a number of pages, or of KiB when it is negative. */
  readonly cachePages?: number;
  /** Has an effect in new files only. Default INCREMENTAL. */
  readonly autoVacuum?: "NONE" | "FULL" | "INCREMENTAL";
  /** Whether deleted content is overwritten. Default: as the library was built. */
  readonly secureDelete?: "ON" | "OFF" | "FAST";
  /** `external`: the write-ahead log is written back by another program, such as Litestream, and stays beside the file when it is closed. */
  readonly checkpoints?: "own" | "external";
}

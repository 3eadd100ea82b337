/** What the data dir needs at least: less is not enough for a database, its log and one image. */
export const DATA_DIR_MIN = { bytes: 100 * 1024 * 1024, files: 1000 } as const;

/** Below this a clock was never set, as after the battery of a board is gone. The limit is that of k3s. */
export const CLOCK_MIN_MS = Date.UTC(1980, 0, 1);

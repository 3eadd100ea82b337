import type { Progress } from "./progress.ts";

/** What every source of components needs from outside. */
export interface SourceContext {
  /** Folder for downloads and builds; it survives, so that a second run has nothing to do. */
  readonly cacheDir: string;
  /** Environment of the programs that are run (PATH, proxy settings). */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

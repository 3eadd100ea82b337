/** What the process was given. Only main.ts reads it from the process itself. */
export interface CommandContext {
  /** Arguments after the name of the program. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder with the upstream programs, as the build makes it. */
  readonly componentsDir: string;
  /** Folder with the manifests of the release. */
  readonly manifestsDir: string;
  /** Our own executable, as the build leaves it; it need not exist where the sources are run. */
  readonly executable: string;
  /** Whether a person reads what goes to stderr. */
  readonly isTerminal: boolean;
  readonly write: (text: string) => void;
  /** Resolves once the reader has taken what was written, or is gone. */
  readonly written: () => Promise<void>;
  readonly writeError: (text: string) => void;
}

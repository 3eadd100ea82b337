import type { ComponentSource } from "@k3s/components";

/** What the process was given. Only main.ts reads it from the process itself. */
export interface CommandContext {
  /** Arguments after the name of the program. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The upstream programs: inside the executable, or in a folder. */
  readonly components: ComponentSource;
  /** The text of a manifest of the release. */
  readonly readManifest: (name: string) => Promise<string>;
  /** The licences of everything inside the executable. */
  readonly licenses: () => Promise<string>;
  /** Our own executable; it need not exist where the sources are run. */
  readonly executable: string;
  /** Whether a person reads what goes to stderr. */
  readonly isTerminal: boolean;
  /** Throws OutputError where stdout is a file that cannot take the text. */
  readonly write: (text: string) => void;
  /** Resolves once the reader has taken what was written, or is gone. Rejects with OutputError when it cannot get it. */
  readonly written: () => Promise<void>;
  /** Gives up what the reader has not taken: nothing waits for it any more. */
  readonly discard: () => void;
  readonly writeError: (text: string) => void;
}

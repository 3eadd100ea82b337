import { join } from "node:path";
import type { ComponentSet } from "./component-set.ts";

export interface ExecutablePathOptions {
  readonly set: ComponentSet;
  /** PATH of the caller; empty parts are dropped, since they would mean the working directory. */
  readonly inherited: string;
  /** Puts the set's host tools before those of the host (`--prefer-bundled-bin`). */
  readonly preferBundled: boolean;
}

/** PATH of every child: plugins, programs, the host's folders, and the set's host tools last (or before the host's). */
export function executablePath({ set, inherited, preferBundled }: ExecutablePathOptions): string {
  const host = inherited.split(":").filter((part) => part !== "");
  const aux = join(set.binDir, "aux");
  const tail = preferBundled ? [aux, ...host] : [...host, aux];
  return [set.cniBinDir, set.binDir, ...tail].join(":");
}

import { stat } from "node:fs/promises";

/** What tells one content of an archive's file from another. The names of the first two are those of k3s. */
export interface ArchiveState {
  readonly size: number;
  readonly modTime: string;
  /** Tars are padded and times can be set: only this one moves whenever the file is written or replaced. */
  readonly changeTime: string;
}

/** The state of a file; rejects when it cannot be looked at, undefined when it is no regular file. */
export async function archiveState(path: string): Promise<ArchiveState | undefined> {
  const found = await stat(path);
  if (!found.isFile()) return undefined;
  return { size: found.size, modTime: found.mtime.toISOString(), changeTime: found.ctime.toISOString() };
}

/** Whether both were read from the same content. */
export function isSameState(a: ArchiveState, b: ArchiveState): boolean {
  return a.size === b.size && a.modTime === b.modTime && a.changeTime === b.changeTime;
}

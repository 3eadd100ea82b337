import { chmod, stat } from "node:fs/promises";
import { readIfExists, writeFileAtomic } from "@k3s/files";
import { PkiError } from "./errors.ts";

/** Mode of everything that holds a secret, and of everything that does not. */
export const SECRET_MODE = 0o600;
export const PUBLIC_MODE = 0o644;

/** The text of a file, or undefined when there is none. Rejects with PkiError when it cannot be read. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return (await readIfExists(path))?.toString("utf8");
  } catch (error) {
    throw PkiError.unreadable(path, error);
  }
}

/** Replaces the file as a whole. Rejects with PkiError. */
export async function writeText(path: string, file: { readonly text: string; readonly mode: number }): Promise<void> {
  try {
    await writeFileAtomic(path, file.text, { mode: file.mode });
  } catch (error) {
    throw PkiError.unwritable(path, error);
  }
}

/** Writes only when the content differs, so that the age of an unchanged file keeps its meaning. Says whether it wrote. */
export async function writeIfChanged(path: string, file: { readonly text: string; readonly mode: number }) {
  if ((await readText(path)) === file.text) {
    await tighten(path, file.mode);
    return false;
  }
  await writeText(path, file);
  return true;
}

/** Takes away permissions beyond `mode`; never adds any. Does not touch the modification time. */
export async function tighten(path: string, mode: number): Promise<void> {
  try {
    const current = (await stat(path)).mode & 0o777;
    if ((current & ~mode) !== 0) await chmod(path, current & mode);
  } catch (error) {
    throw PkiError.unwritable(path, error);
  }
}

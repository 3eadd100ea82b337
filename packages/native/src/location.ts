import { existsSync } from "node:fs";
import { join } from "node:path";
import { NativeError } from "./errors.ts";

/**
 * The path of a built file. A bundle carries it in its own folder; in the source tree it is in `out/` beside `src/`.
 * Throws NativeError when it is in neither.
 */
export function locate(file: string, moduleFolder: string = import.meta.dirname): string {
  const folders = [moduleFolder, join(moduleFolder, "../out")];
  const path = folders.map((folder) => join(folder, file)).find((candidate) => existsSync(candidate));
  if (path === undefined) throw NativeError.notBuilt(file, folders);
  return path;
}

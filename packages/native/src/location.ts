import { existsSync } from "node:fs";
import { join } from "node:path";
import { embeddedFile, isOneFile } from "./embedded-files.ts";
import { NativeError } from "./errors.ts";

/**
 * The path of a native part: inside the one executable, in the folder of a bundle, or in the source tree in `out/` beside `src/`.
 * Throws NativeError when it is nowhere.
 */
export function locate(file: string, moduleFolder: string = import.meta.dirname): string {
  if (isOneFile()) return embeddedFile(file);
  const folders = [moduleFolder, join(moduleFolder, "../out")];
  const path = folders.map((folder) => join(folder, file)).find((candidate) => existsSync(candidate));
  if (path === undefined) throw NativeError.notBuilt(file, folders);
  return path;
}

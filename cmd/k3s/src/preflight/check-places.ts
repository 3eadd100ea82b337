import { once } from "node:events";
import { access, constants, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname } from "node:path";
import { PreflightError } from "../errors.ts";

/** Rejects with PreflightError when what else is named in the configuration cannot be used. Writes nothing. */
export async function checkPlaces(bindAddress: string | undefined, kubeconfigs: readonly string[]): Promise<void> {
  if (bindAddress !== undefined) await checkAddress(bindAddress);
  for (const path of kubeconfigs) await checkWritable(path);
}

/** Asks the kernel, which knows of addresses that may be listened on before they are there. */
async function checkAddress(address: string): Promise<void> {
  const server = createServer();
  try {
    await once(server.listen(0, address), "listening");
  } catch (error) {
    if (codeOf(error) === "EADDRNOTAVAIL") throw PreflightError.bindAddress(address, error);
    throw error;
  } finally {
    server.close();
  }
}

/** The file, or the nearest folder above it that is there. */
async function checkWritable(path: string): Promise<void> {
  for (let place = path; ; place = dirname(place)) {
    try {
      const isFolder = (await stat(place)).isDirectory();
      if (isFolder === (place === path)) throw new Error(`"${place}" is ${isFolder ? "a" : "not a"} folder`);
      await access(place, constants.W_OK);
      return;
    } catch (error) {
      if (codeOf(error) !== "ENOENT" || place === "/") throw PreflightError.kubeconfigUnwritable(path, error);
    }
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

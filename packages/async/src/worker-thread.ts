import { getAsset, isSea } from "node:sea";
import { Worker, type WorkerOptions } from "node:worker_threads";

/**
 * Starts worker thread `name` of the module at `moduleUrl` (its import.meta.url): `<name>.ts` beside it when running from source,
 * `<name>.js` beside a bundle, or what the one executable carries under that name, where a module has no address.
 */
export function startWorker(name: string, moduleUrl: string | undefined, options: WorkerOptions): Worker {
  if (isSea()) return new Worker(getAsset(`${name}.js`, "utf8"), { ...options, eval: true });
  if (moduleUrl === undefined) throw new Error(`Cannot start worker "${name}": its module has no address`);
  const extension = new URL(moduleUrl).pathname.endsWith(".ts") ? "ts" : "js";
  return new Worker(new URL(`./${name}.${extension}`, moduleUrl), options);
}

/**
 * Where the code of worker thread `name` is, seen from the module at `moduleUrl` (its import.meta.url):
 * `<name>.ts` beside it when running from source, `<name>.js` beside the bundle otherwise.
 */
export function workerUrl(name: string, moduleUrl: string): URL {
  const extension = new URL(moduleUrl).pathname.endsWith(".ts") ? "ts" : "js";
  return new URL(`./${name}.${extension}`, moduleUrl);
}

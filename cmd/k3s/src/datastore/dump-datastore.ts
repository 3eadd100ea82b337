import { dumpRows, type DumpOptions } from "./dump-rows.ts";
import { readAllKeys } from "./read-all-keys.ts";
import type { LiveServer, Target } from "./tool-target.ts";
import { withRows } from "./with-rows.ts";

/**
 * Gives every key that starts with the prefix, in key order. A server that runs is asked, at one revision; without one the database is
 * read, which then shows what was there when the reading began; where it cannot be read as of one moment (NATS), keys that change
 * meanwhile are told as they are later. Rejects with NodeError or EtcdCallError.
 */
export async function dumpDatastore({ database, server }: Target, options: DumpOptions): Promise<void> {
  const { log, signal } = options;
  if (server !== undefined) await dumpServer(server, options);
  else if (database === undefined) throw new Error("Cannot dump a datastore: there is neither a database nor a server");
  else await withRows({ database, log, signal }, (source) => dumpRows(source, options));
}

async function dumpServer({ client }: LiveServer, { prefix, page, signal }: DumpOptions): Promise<void> {
  for await (const { kvs } of readAllKeys(client, { prefix, keysOnly: false, signal })) await page(kvs);
}

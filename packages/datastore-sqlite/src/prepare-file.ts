import { DriverError } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import { isDamage } from "./errors.ts";
import type { OtherUsers } from "./other-users.ts";
import type { SpaceReserve } from "./space-reserve.ts";
import type { SqliteSettings } from "./sqlite-settings.ts";
import type { WorkerChannel } from "./worker-channel.ts";
import type { PreparedSchema } from "./worker-protocol.ts";

interface PrepareFileParts {
  readonly path: string;
  readonly log: Logger;
  readonly checkpoints: NonNullable<SqliteSettings["checkpoints"]>;
  readonly reserve: SpaceReserve;
  readonly others: Pick<OtherUsers, "areThere">;
}

/** Brings tables and index into being. Rejects with what the writer answers. */
export async function prepareFile(writer: WorkerChannel, parts: PrepareFileParts): Promise<void> {
  const { path, log, reserve, others } = parts;
  const hadOthers = others.areThere();
  const { copiedRows, droppedIndexes: indexes } = await prepare(writer, hadOthers, reserve);
  if (indexes.length > 0)
    log.info(
      { file: path, indexes },
      "dropped indexes that no query needs here; kine makes them again when it opens the file",
    );
  // Who came meanwhile may have made its guard before ours went.
  const hasOthers = hadOthers || others.areThere();
  if (hasOthers && !hadOthers) await prepare(writer, hasOthers, reserve);
  if (hasOthers)
    log.warn({ file: path }, "another program has the datastore open, its writes are guarded as kine does it");
  if (copiedRows > 0) log.info({ table: "key_value", rows: copiedRows }, "copied the rows of an old table to kine");
  if (!reserve.isReleased && !(await reserve.isShort())) await tryToIndex(writer, parts);
}

/** Once for each file. Without the index starts take longer; what is written for it does not stay in the log. */
async function tryToIndex(writer: WorkerChannel, { log, checkpoints }: PrepareFileParts): Promise<void> {
  try {
    if (!(await writer.call("indexHeads", undefined))) return;
    if (checkpoints === "own") await writer.call("checkpoint", { truncate: true });
  } catch (error) {
    if (isDamage(error)) throw error;
    log.warn({ error }, "cannot make the index that a start reads, starts take longer");
  }
}

/** On a full disk a server that could not start could not make room either. */
async function prepare(writer: WorkerChannel, hasOthers: boolean, reserve: SpaceReserve): Promise<PreparedSchema> {
  try {
    return await writer.call("prepare", { hasOthers });
  } catch (error) {
    const isFull = error instanceof DriverError && error.kind === "noSpace";
    if (!isFull || !(await reserve.release())) throw error;
    return await writer.call("prepare", { hasOthers });
  }
}

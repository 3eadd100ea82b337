import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { percentiles } from "./load.ts";

const WRITES = 200;

/** Middle time in ms of a write of 4 KiB that reaches the disk, in the folder where the datastores are. */
export async function fsyncMs(): Promise<number> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "bench-fsync-"));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const file = undo.use(await open(join(folder, "file"), "w"));
  const durations = new Float64Array(WRITES);
  for (let n = 0; n < WRITES; n++) {
    const startedAt = performance.now();
    await file.write(Buffer.alloc(4096, n), 0, 4096, n * 4096);
    await file.datasync();
    durations[n] = performance.now() - startedAt;
  }
  return percentiles(durations).p50Ms;
}

import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, test } from "node:test";
import { createLogger } from "@k3s/log";
import { prepareFile } from "../src/prepare-file.ts";
import { SpaceReserve } from "../src/space-reserve.ts";
import { WorkerChannel } from "../src/worker-channel.ts";
import { sql } from "./support/python.ts";
import { tempDatabase } from "./support/temp-store.ts";

describe("prepareFile()", () => {
  test("makes kine's guard for a program that opened the file while the tables were made", async (t) => {
    const path = await tempDatabase(t);
    await mkdir(dirname(path));
    await writeFile(path, "");
    const settings = { path, isReadOnly: false, cachePages: -2048, busyTimeoutMs: 1000, synchronous: "FULL" } as const;
    const writer = new WorkerChannel({ ...settings, autoVacuum: "NONE", secureDelete: undefined });
    t.after(() => writer.close());
    const lines: string[] = [];
    const log = createLogger({ level: "warn", format: "text", write: (line) => lines.push(line) });
    const answers = [false, true];
    const others = { areThere: () => answers.shift() ?? assert.fail() };
    const reserve = await SpaceReserve.open(`${path}.reserve`, log);
    await prepareFile(writer, { path, log, checkpoints: "own", reserve, others });
    assert.deepEqual(await sql(path, "SELECT name FROM sqlite_schema WHERE type = 'index' ORDER BY name"), [
      ["kine_heads_index"],
      ["kine_name_prev_revision_uindex"],
    ]);
    assert.match(lines.join(""), /another program has the datastore open/);
  });
});

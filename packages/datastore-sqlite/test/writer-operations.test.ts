import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, test } from "node:test";
import { connect } from "../src/connection.ts";
import { prepareSchema } from "../src/schema.ts";
import { writerOperations } from "../src/writer-operations.ts";
import { tempDatabase } from "./support/temp-store.ts";

describe("writerOperations()", () => {
  const levels = [
    ["OFF", 0],
    ["NORMAL", 1],
    ["FULL", 2],
    ["EXTRA", 3],
  ] as const;
  for (const [synchronous, level] of levels) {
    test(`prune() leaves synchronous=${synchronous} as it was configured`, async (t) => {
      const path = await tempDatabase(t);
      await mkdir(dirname(path));
      await writeFile(path, "");
      const settings = { path, isReadOnly: false, cachePages: -2048, busyTimeoutMs: 1000, synchronous };
      const database = connect({ ...settings, autoVacuum: "INCREMENTAL", secureDelete: undefined, addon: undefined });
      t.after(() => database.close());
      prepareSchema(database, false);
      writerOperations(database, synchronous).prune({ rows: [1], spansUpTo: 1 });
      assert.equal(database.pragma("synchronous", { simple: true }), level);
    });
  }
});

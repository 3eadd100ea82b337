import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createLogger } from "@k3s/log";
import { SlowStatements } from "../src/slow-statements.ts";
import type { DrivenKind, StatementName } from "../src/statement-guide.ts";

function told(kind: DrivenKind, statement: StatementName): Record<string, unknown> {
  const lines: string[] = [];
  const log = createLogger({ level: "info", format: "json", write: (line) => void lines.push(line) });
  const slow = new SlowStatements({ log, kind, thresholds: { infoMs: 1000, warnMs: 5000 } });
  assert.equal(slow.note({ statement, durationMs: 6000, rows: undefined }), "warn");
  assert.equal(lines.length, 1);
  return JSON.parse(lines[0] ?? "") as Record<string, unknown>; // sound: the logger writes objects
}

const cases = [
  { kind: "mysql", statement: "claim", table: "kine_lock", cure: /another writer has the one lock: .*INNODB STATUS/ },
  { kind: "postgres", statement: "claim", table: "kine", cure: /pg_locks/ },
  { kind: "nats", statement: "claim", table: "the bucket whose name ends in -k3s", cure: /nats stream info/ },
  { kind: "mysql", statement: "leases", table: "kine_lease", cure: /SHOW FULL PROCESSLIST/ },
  { kind: "mysql", statement: "position", table: "kine", cure: /missing kine_name_prev_revision_uindex/ },
  { kind: "postgres", statement: "prune", table: "kine", cure: /compaction deletes by row number.*pg_stat_activity/ },
  { kind: "postgres", statement: "clock", table: undefined, cure: /no table is read: .*slow network/ },
  { kind: "mysql", statement: "defragment", table: "kine", cure: /compact first/ },
  { kind: "postgres", statement: "size", table: /^kine, kine_lease/, cure: /pg_stat_activity/ },
  {
    kind: "sqlite",
    statement: "snapshot",
    table: /^kine, kine_lease/,
    cure: /the whole file is copied: compact first/,
  },
  {
    kind: "postgres",
    statement: "side",
    table: "kine_lease, kine_lease_row, kine_span",
    cure: /k3s datastore compact/,
  },
  { kind: "nats", statement: "heads", table: "the bucket", cure: /k3s datastore compact.*NATS servers/ },
] as const;

describe("SlowStatements", () => {
  for (const { kind, statement, table, cure } of cases)
    test(`tells of ${statement} on ${kind} with its table and its own cure`, () => {
      const line = told(kind, statement);
      if (table instanceof RegExp) assert.match(String(line["table"]), table);
      else assert.equal(line["table"], table);
      assert.match(String(line["cure"]), cure);
    });
});

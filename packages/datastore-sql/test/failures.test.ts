import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, test } from "node:test";
import { DeadlineExceeded } from "@k3s/async";
import { createLogger } from "@k3s/log";
import { Failures } from "../src/failures.ts";
import { TookTooLong } from "../src/limited.ts";

const log = createLogger({ level: "error", format: "json", write: () => undefined });
const failures = new Failures({ product: "MySQL", classify: () => "failed" }, log);

describe("Failures", () => {
  test("tells a server that is not there from one that refuses", async () => {
    const error: unknown = await once(connect({ host: "127.0.0.1", port: 1 }), "connect").catch((e: unknown) => e);
    assert.match(String(error), /ECONNREFUSED/);
    assert.match(failures.toDriverError(error, "read").message, /: MySQL cannot be reached$/);
    const wait = new DeadlineExceeded("Connecting to MySQL", 5000);
    assert.match(failures.toDriverError(wait, "read").message, /: MySQL cannot be reached$/);
    const refusal = Object.assign(new Error("Table is full"), { code: "ER_RECORD_FILE_FULL", errno: 1114 });
    assert.match(failures.toDriverError(refusal, "write").message, /: MySQL refused it$/);
  });

  test("tells a database that does not answer, and what to look for, once", () => {
    const lines: string[] = [];
    const all = createLogger({ level: "info", format: "json", write: (line) => lines.push(line) });
    const slow = new Failures({ product: "MySQL", classify: () => "failed" }, all);
    const late = new TookTooLong({ what: "A commit", ms: 10_000.5 });
    for (let i = 0; i < 3; i++) {
      const { message, cause } = slow.toDriverError(late, "write");
      assert.match(message, /: MySQL did not answer in time$/);
      assert.match(String(cause), /A commit took longer than 10 s$/);
      slow.worked("read"); // beside a lock that keeps back writes
    }
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /"hint":"[^"]*locks[^"]*long transactions.*does not answer in time/);
    slow.worked("write");
    assert.match(lines[1] ?? "", /can be used again/);
  });

  test("goes on from slow to failed, and not back", () => {
    const lines: string[] = [];
    const all = createLogger({ level: "info", format: "json", write: (line) => lines.push(line) });
    const both = new Failures({ product: "MySQL", classify: () => "failed" }, all);
    for (let i = 0; i < 3; i++) {
      both.toDriverError(new TookTooLong({ what: "A read", ms: 7000 }), "read");
      both.toDriverError(new Error("Gone"), "read");
    }
    assert.equal(lines.length, 2);
    both.worked("read");
    assert.equal(lines.length, 3);
  });

  test("calls no loser of a race refused", () => {
    const racing = new Failures({ product: "PostgreSQL", classify: () => "retry" }, log);
    const { message, kind } = racing.toDriverError(new Error("canceling statement due to lock timeout"), "write");
    assert.deepEqual(
      [message, kind],
      ["Cannot carry out request: PostgreSQL was held back by other transactions", "failed"],
    );
  });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, test } from "node:test";
import { createLogger } from "@k3s/log";
import { Failures } from "../src/failures.ts";

const log = createLogger({ level: "error", format: "json", write: () => undefined });
const failures = new Failures({ product: "MySQL", classify: () => "failed" }, log);

describe("Failures", () => {
  test("tells a server that is not there from one that refuses", async () => {
    const error: unknown = await once(connect({ host: "127.0.0.1", port: 1 }), "connect").catch((e: unknown) => e);
    assert.match(String(error), /ECONNREFUSED/);
    assert.match(failures.toDriverError(error).message, /: MySQL cannot be reached$/);
    const refusal = Object.assign(new Error("Table is full"), { code: "ER_RECORD_FILE_FULL", errno: 1114 });
    assert.match(failures.toDriverError(refusal).message, /: MySQL refused it$/);
  });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { PASSING, toOpenError } from "../src/open-error.ts";

for (const errno of [1040, 1203, 1226])
  test(`toOpenError(): no connection left, by ${errno}, is waited for and says so`, () => {
    const error = toOpenError(Object.assign(new Error("too many"), { errno, code: "ER_TOO_MANY" }), "somewhere");
    assert.deepEqual([error.code, PASSING.has(error.code)], ["ERR_MYSQL_CROWDED", true]);
    assert.match(String(error.hint), /max_connections/);
  });

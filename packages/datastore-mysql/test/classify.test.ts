import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { endsConnection } from "../src/classify.ts";

const serverError = (errno: number) => Object.assign(new Error("as the server words it"), { errno });

describe("endsConnection()", () => {
  for (const [errno, what] of [
    [1053, "it shuts down"],
    [1927, "somebody killed the connection"],
    [4031, "nothing came for wait_timeout"],
  ] as const)
    test(`is true when the server says that ${what}`, () => {
      assert.equal(endsConnection(serverError(errno)), true);
    });

  test("is false of what only the statement fails with, and of the operating system's errors", () => {
    for (const errno of [1062, 1205, -32]) assert.equal(endsConnection(serverError(errno)), false, String(errno));
    assert.equal(endsConnection(new Error("no number")), false);
  });
});

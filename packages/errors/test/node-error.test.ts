import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { describeError, NodeError } from "../src/index.ts";

describe("NodeError", () => {
  test("carries code, hint and cause", () => {
    const cause = new Error("disk on fire");
    const error = new NodeError("ERR_TEST", "Cannot save: no disk", { hint: "Buy a disk", cause });
    assert.deepEqual([error.code, error.hint, error.cause], ["ERR_TEST", "Buy a disk", cause]);
  });
});

describe("describeError()", () => {
  test("joins the chain of causes, outermost first", () => {
    const error = new Error("Cannot start", { cause: new Error("Cannot listen", { cause: new Error("EADDRINUSE") }) });
    assert.equal(describeError(error), "Cannot start: Cannot listen: EADDRINUSE");
  });

  test("names every error of an aggregate", () => {
    assert.equal(
      describeError(new AggregateError([new Error("a"), new Error("b")], "Cannot stop")),
      "Cannot stop; a; b",
    );
  });

  test("leaves out causes that a message has told already", () => {
    const cause = new Error("Cannot dial", { cause: new Error("ECONNREFUSED") });
    const error = new Error(`Cannot join: ${describeError(cause)}`, { cause });
    assert.equal(describeError(error), "Cannot join: Cannot dial: ECONNREFUSED");
    assert.equal(describeError(undefined), "");
  });

  test("says a repeated message once and survives a circle of causes", () => {
    const error = new Error("again");
    error.cause = error;
    assert.equal(describeError(error), "again");
  });
});

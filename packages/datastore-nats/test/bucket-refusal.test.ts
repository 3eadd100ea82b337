import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { JetStreamApiError } from "@nats-io/jetstream";
import { toBucketRefusal } from "../src/bucket-refusal.ts";

const refusal = (err_code: number, code: number) =>
  toBucketRefusal({ name: "KV_kine" }, new JetStreamApiError({ err_code, code, description: "its word" }));

describe("toBucketRefusal()", () => {
  // as nats-server sends them while it starts and while its cluster elects
  const passing = { 10_004: 503, 10_005: 400, 10_006: 500, 10_008: 503, 10_009: 500, 10_023: 503, 10_118: 500 };
  for (const [number, status] of Object.entries(passing))
    test(`knows that ${number} passes`, () => assert.equal(refusal(Number(number), status), undefined));

  test("knows no errors but JetStream's", () => {
    assert.equal(toBucketRefusal({ name: "KV_kine" }, new Error("timeout")), undefined);
  });

  test("takes a number it does not know for final, with the server's words", () => {
    const error = refusal(10_999, 400);
    assert.equal(error?.code, "ERR_NATS_BUCKET_REFUSED");
    assert.equal(error.message, 'Cannot open bucket "kine": its word');
  });
});

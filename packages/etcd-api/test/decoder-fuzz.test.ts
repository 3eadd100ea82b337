import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "@k3s/testkit";
import { createServices } from "../src/services.ts";
import { RECEIVE_BYTES_MAX } from "../src/transport.ts";
import { toTxn } from "../src/txn-translation.ts";
import { ProtoError } from "../src/proto/proto-reader.ts";
import { RpcError } from "../src/rpc-error.ts";
import { emptyStore, quietLog, temporaryFolder } from "./support/api.ts";
import { groups, nestedTxn, spoil, unknownField } from "./support/spoil.ts";
import { VALID_REQUESTS } from "./support/valid-requests.ts";

const ROUNDS = 2000;
const GROWTH_MAX_BYTES = 64 << 20;

const decoders = Object.entries(VALID_REQUESTS).flatMap(([path, { requests, decode }]) =>
  decode === undefined ? [] : [{ path, requests, decode }],
);

/** Undefined when the message is taken. */
function failureOf(decode: (bytes: Buffer) => unknown, bytes: Buffer): Error | undefined {
  try {
    decode(bytes);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof Error);
    return error;
  }
}

test("the messages that are spoilt here cover every method", async (t) => {
  const store = await emptyStore(t, await temporaryFolder(t));
  const member = { name: "node1", peerUrls: [], clientUrls: [] };
  const { signal } = new AbortController();
  const methods = createServices(store, { log: quietLog, signal, member });
  assert.deepEqual(Object.keys(VALID_REQUESTS).toSorted(), [...methods.keys()].toSorted());
});

describe("a request", () => {
  for (const [index, { path, requests, decode }] of decoders.entries()) {
    test(`of ${path}, spoilt, is read or refused as one that is malformed`, (t) => {
      const random = new Random(3305 + index);
      const before = process.memoryUsage();
      let refused = 0;
      for (let i = 0; i < ROUNDS; i++) {
        const bytes = spoil(random.pick(requests), random);
        const failure = failureOf(decode, bytes);
        if (failure === undefined) continue;
        refused++;
        const isKnown = failure instanceof ProtoError || failure instanceof RpcError;
        assert.ok(isKnown, `seed ${random.seed}, round ${i}, ${bytes.toString("hex")}: ${String(failure)}`);
      }
      t.diagnostic(`seed ${random.seed}: ${refused} of ${ROUNDS} refused`);
      assert.ok(refused > ROUNDS / 10 && refused < ROUNDS, `${refused} refused`);
      const { heapUsed, external } = process.memoryUsage();
      const growth = heapUsed + external - before.heapUsed - before.external;
      assert.ok(growth < GROWTH_MAX_BYTES, `seed ${random.seed}: memory grew by ${growth} bytes`);
    });

    test(`of ${path} means the same with fields that are unknown, groups among them`, () => {
      const random = new Random(7331 + index);
      for (let i = 0; i < 300; i++) {
        const request = random.pick(requests);
        const [before, after] = [unknownField(random), unknownField(random)];
        const bytes = Buffer.concat([before, request, after]);
        const where = `seed ${random.seed}, round ${i}, ${bytes.toString("hex")}`;
        assert.equal(failureOf(decode, bytes), undefined, where);
        assert.deepEqual(decode(bytes), decode(request), where);
      }
    });
  }

  test("of random bytes is read or refused", () => {
    const random = new Random(1984);
    for (let i = 0; i < 10_000; i++) {
      const { path, decode } = random.pick(decoders);
      const bytes = random.bytes(random.below(60));
      const failure = failureOf(decode, bytes);
      if (failure === undefined) continue;
      const isKnown = failure instanceof ProtoError || failure instanceof RpcError;
      assert.ok(isKnown, `seed ${random.seed}, round ${i}, ${path} ${bytes.toString("hex")}: ${String(failure)}`);
    }
  });

  test("with groups deeper than any reader needs is refused, not followed", () => {
    for (const { decode } of decoders) assert.ok(failureOf(decode, groups(1000, 500_000)) instanceof ProtoError);
  });

  test("with transactions deeper than their operations allow is refused, not followed", () => {
    assert.equal(failureOf(toTxn, nestedTxn(100)), undefined);
    const failure = failureOf(toTxn, nestedTxn(2000));
    assert.ok(failure instanceof RpcError);
    assert.equal(failure.message, "etcdserver: too many operations in txn request");
  });

  test("with a million operations is refused without a look into them", () => {
    const operation = Buffer.from("12020a00", "hex"); // an empty range
    const bytes = Buffer.alloc(RECEIVE_BYTES_MAX, operation);
    const before = process.memoryUsage();
    assert.equal(failureOf(toTxn, bytes)?.message, "etcdserver: too many operations in txn request");
    const { heapUsed, external } = process.memoryUsage();
    const growth = heapUsed + external - before.heapUsed - before.external;
    assert.ok(growth < bytes.length, `read into ${growth} bytes`);
  });

  test("with a field number or length beyond 32 bits is refused, not cut short", () => {
    const numbers = ["88808080801001", "8a808080801000", "0affffffffffffffffff0100"];
    for (const { decode } of decoders)
      for (const hex of numbers) assert.ok(failureOf(decode, Buffer.from(hex, "hex")) instanceof ProtoError, hex);
  });
});

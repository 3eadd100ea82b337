import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "@k3s/testkit";
import { FRAME_PAYLOAD_MAX } from "../src/frame.ts";
import { FrameReader } from "../src/frame-reader.ts";
import { frame } from "./support/peer.ts";

const FRAME_SIZE_ERROR = 6;

function readAll(reader: FrameReader, chunk: Buffer): string[] {
  const frames: string[] = [];
  reader.feed(chunk);
  while (reader.next())
    frames.push(`${reader.type} ${reader.flags} ${reader.streamId} ${reader.payload().toString("hex")}`);
  return frames;
}

describe("FrameReader", () => {
  const random = new Random(9113);
  const sent = Array.from({ length: 50 }, () => ({
    type: random.below(12),
    flags: random.below(256),
    streamId: random.below(0x7fff_ffff),
    payload: random.bytes(random.pick([0, 1, 9, 300, FRAME_PAYLOAD_MAX])),
  }));
  const expected = sent.map(
    ({ type, flags, streamId, payload }) => `${type} ${flags} ${streamId} ${payload.toString("hex")}`,
  );
  const bytes = Buffer.concat(sent.map((one) => frame(one)));

  for (const sizeMax of [1, 8, 10, 1000, 100_000])
    test(`finds the same frames in chunks of up to ${sizeMax} bytes`, () => {
      const reader = new FrameReader();
      const found: string[] = [];
      for (let at = 0; at < bytes.length;) {
        const end = at + 1 + random.below(sizeMax);
        found.push(...readAll(reader, bytes.subarray(at, end)));
        at = end;
      }
      assert.deepEqual(found, expected);
    });

  test("ignores the reserved bit of the stream id", () => {
    const bytes = frame({ type: 8, streamId: 5 });
    bytes.writeUInt8(0x80, 5);
    assert.deepEqual(readAll(new FrameReader(), bytes), ["8 0 5 "]);
  });

  for (const length of [FRAME_PAYLOAD_MAX + 1, 0xff_ffff])
    test(`refuses a frame of ${length} bytes by its head alone`, () => {
      const bytes = frame({ type: 0, streamId: 1, length });
      assert.throws(() => readAll(new FrameReader(), bytes), { code: FRAME_SIZE_ERROR });
      const reader = new FrameReader();
      readAll(reader, bytes.subarray(0, 5));
      assert.throws(() => readAll(reader, bytes.subarray(5)), { code: FRAME_SIZE_ERROR });
    });
});

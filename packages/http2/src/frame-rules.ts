import { ConnectionError, ErrorCode } from "./error-code.ts";
import { Flag, FrameType, type FrameHead } from "./frame.ts";

const SETTING_BYTES = 6;

/**
 * What a frame of a known type must be whatever the state of its connection: its size, and whether it belongs to a
 * stream. Throws ConnectionError. Frames of unknown types pass.
 */
export function checkFrame(frame: FrameHead): void {
  switch (frame.type) {
    case FrameType.data:
    case FrameType.headers:
    case FrameType.continuation:
      onStream(frame);
      return;
    case FrameType.priority:
      onStream(frame);
      sized(frame, 5);
      return;
    case FrameType.rstStream:
      onStream(frame);
      sized(frame, 4);
      return;
    case FrameType.settings:
      checkSettings(frame);
      return;
    case FrameType.pushPromise:
      throw new ConnectionError(ErrorCode.protocolError, "PUSH_PROMISE from a client");
    case FrameType.ping:
      onConnection(frame);
      sized(frame, 8);
      return;
    case FrameType.goaway:
      onConnection(frame);
      if (frame.length < 8) throw wrongSize(frame);
      return;
    case FrameType.windowUpdate:
      sized(frame, 4);
      return;
    default:
  }
}

function checkSettings(frame: FrameHead): void {
  onConnection(frame);
  const isAck = (frame.flags & Flag.ack) !== 0;
  if (isAck ? frame.length !== 0 : frame.length % SETTING_BYTES !== 0) throw wrongSize(frame);
}

function onStream({ type, streamId }: FrameHead): void {
  if (streamId === 0) throw new ConnectionError(ErrorCode.protocolError, `Frame of type ${type} outside a stream`);
}

function onConnection({ type, streamId }: FrameHead): void {
  if (streamId !== 0) throw new ConnectionError(ErrorCode.protocolError, `Frame of type ${type} on a stream`);
}

function sized(frame: FrameHead, length: number): void {
  if (frame.length !== length) throw wrongSize(frame);
}

function wrongSize({ type, length }: FrameHead): ConnectionError {
  return new ConnectionError(ErrorCode.frameSizeError, `Frame of type ${type} with ${length} bytes`);
}

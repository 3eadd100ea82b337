import { Setting } from "./control-frames.ts";
import { ConnectionError, ErrorCode } from "./error-code.ts";
import { FRAME_PAYLOAD_MAX, WINDOW_DEFAULT, WINDOW_MAX } from "./frame.ts";

const SETTING_BYTES = 6;
const FRAME_PAYLOAD_LIMIT = 16_777_215;

/** The client's settings that a server heeds. */
export class PeerSettings {
  initialWindowSize = WINDOW_DEFAULT;
  readonly #onHeaderTableSize: (size: number) => void;

  /** `onHeaderTableSize` is told of each value: a size that was allowed only for a moment matters too. */
  constructor(onHeaderTableSize: (size: number) => void) {
    this.#onHeaderTableSize = onHeaderTableSize;
  }

  /** Takes over the payload of a SETTINGS frame, in order. Throws ConnectionError. */
  apply(payload: Buffer): void {
    for (let at = 0; at + SETTING_BYTES <= payload.length; at += SETTING_BYTES)
      this.#set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
  }

  #set(id: number, value: number): void {
    switch (id) {
      case Setting.headerTableSize:
        this.#onHeaderTableSize(value);
        return;
      case Setting.enablePush:
        if (value > 1) throw new ConnectionError(ErrorCode.protocolError, "ENABLE_PUSH is neither 0 nor 1");
        return;
      case Setting.initialWindowSize:
        if (value > WINDOW_MAX) throw new ConnectionError(ErrorCode.flowControlError, "INITIAL_WINDOW_SIZE too large");
        this.initialWindowSize = value;
        return;
      case Setting.maxFrameSize:
        if (value < FRAME_PAYLOAD_MAX || value > FRAME_PAYLOAD_LIMIT)
          throw new ConnectionError(ErrorCode.protocolError, "MAX_FRAME_SIZE out of bounds");
        return;
      default:
    }
  }
}

import { ConnectionError, ErrorCode } from "../error-code.ts";

/** A header block that breaks RFC 7541: both sides' tables may differ from here on, so the connection ends. */
export class HpackError extends ConnectionError {
  constructor(message: string) {
    super(ErrorCode.compressionError, message);
  }
}

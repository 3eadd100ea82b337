import { NodeError } from "@k3s/errors";

/** The files inside an executable cannot be had. */
export class PayloadError extends NodeError {
  override readonly name = "PayloadError";

  static damaged(file: string, reason: string, cause?: unknown): PayloadError {
    return new PayloadError("ERR_PAYLOAD_DAMAGED", `Cannot use what "${file}" carries inside: ${reason}`, {
      hint: "Get the file again and compare its checksum; if that repeats, look for a bad disk or a tampering proxy",
      ...(cause === undefined ? {} : { cause }),
    });
  }
}

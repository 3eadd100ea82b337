import { HeaderList } from "@k3s/http2";
import type { RpcError } from "./rpc-error.ts";

const HEAD: readonly (readonly [string, string])[] = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];

/** Clients refuse an answer whose header section is too large. */
const MESSAGE_CHARS_MAX = 1024;

/** Header section of an answer with messages. */
export const RESPONSE_HEAD = new HeaderList(HEAD, { isConstant: true });
/** Trailers of a call that went well. */
export const TRAILERS_OK = new HeaderList([["grpc-status", "0"]], { isConstant: true });

/** Trailers of a call that failed after its header section was sent. */
export function failureTrailers(error: RpcError): HeaderList {
  return new HeaderList(statusFields(error));
}

/** The whole answer of a call that failed before: header section and trailers in one. */
export function failureAnswer(error: RpcError): HeaderList {
  return new HeaderList([...HEAD, ...statusFields(error)]);
}

/** The same for a request in an encoding that is not spoken here, with the one that is. */
export function encodingRefusal(error: RpcError): HeaderList {
  return new HeaderList([...HEAD, ["grpc-accept-encoding", "identity"], ...statusFields(error)]);
}

function statusFields({ code, message }: RpcError): [string, string][] {
  return [
    ["grpc-status", String(code)],
    ["grpc-message", percentEncode(message.slice(0, MESSAGE_CHARS_MAX))],
  ];
}

/** As gRPC wants its messages: UTF-8, with everything but printable ASCII, and the percent sign, as %XX. */
export function percentEncode(text: string): string {
  const encoded = Array.from(Buffer.from(text, "utf8"), encodeByte).join("");
  // Legal within a header field, but not at its ends.
  return encoded.replace(/^ +| +$/g, (spaces) => "%20".repeat(spaces.length));
}

function encodeByte(byte: number): string {
  const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
  return isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}

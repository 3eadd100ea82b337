export { appendPayload, type PackedBlock } from "./append-payload.ts";
export { compressBlock, type BlockMember } from "./compress-block.ts";
export { PayloadError } from "./errors.ts";
export { Payload, type MemberSink } from "./payload.ts";

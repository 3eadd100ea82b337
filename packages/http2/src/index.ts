export { HeaderList } from "./hpack/header-list.ts";
export { Http2Server } from "./http2-server.ts";
export type { Limits } from "./limits.ts";
export { findHeader, type RequestHead } from "./request-head.ts";
export { sniffPreface } from "./sniff-preface.ts";
export type { ServerStream, StreamListener } from "./stream.ts";

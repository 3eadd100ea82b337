export { describeError, NodeError, type ErrorCode, type NodeErrorOptions } from "./node-error.ts";

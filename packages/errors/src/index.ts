export { describeError, NodeError, type ErrorCode } from "./node-error.ts";

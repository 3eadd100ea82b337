export { StoreError, type StoreErrorReason } from "./store-errors.ts";
export { revision } from "./types.ts";
export type * from "./types.ts";

export { bootstrapStoreOn, type BootstrapEntry, type BootstrapStore } from "./bootstrap-store.ts";
export { BootstrapError } from "./errors.ts";
export { bootstrapPolicy, prepareBootstrap } from "./prepare-bootstrap.ts";
export type { BootstrapPolicy, Preparation, PrepareOptions } from "./prepare-bootstrap.ts";
export type { Reconciliation } from "./reconcile.ts";
export { saveBootstrap, type SaveOptions, type SaveOutcome } from "./save-bootstrap.ts";

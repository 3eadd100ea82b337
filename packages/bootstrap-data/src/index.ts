export { beginTokenChange } from "./begin-token-change.ts";
export { bootstrapStoreOn, type BootstrapStore } from "./bootstrap-store.ts";
export { bootstrapPolicy, prepareBootstrap, type BootstrapPolicy, type Preparation } from "./prepare-bootstrap.ts";
export { saveBootstrap } from "./save-bootstrap.ts";

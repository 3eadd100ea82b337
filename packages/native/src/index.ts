export {
  flock,
  isCached,
  isLockedElsewhere,
  netlinkRoute,
  notify,
  releaseCode,
  releaseFree,
  waitpid,
} from "./addon.ts";
export { embeddedFile, isOneFile } from "./embedded-files.ts";
export { NativeError } from "./errors.ts";
export { launcherPath } from "./launcher.ts";
export { loadAddon } from "./load-addon.ts";

export { flock, isCached, netlinkRoute, notify, releaseCode, waitpid } from "./addon.ts";
export { NativeError } from "./errors.ts";
export { launcherPath } from "./launcher.ts";

export { ensureDirectory, isAbsent, makeDirectory, readIfExists, removeIfExists } from "./directory.ts";
export { ensureSymlink } from "./ensure-symlink.ts";
export { acquireLock, findLockOwner, LockHeldError, type Lock } from "./lock.ts";
export { writeFileAtomic } from "./write-file-atomic.ts";

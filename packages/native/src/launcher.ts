import { locate } from "./location.ts";

/** Path of the helper that becomes another program which the kernel ends together with us. Throws NativeError. */
export function launcherPath(): string {
  return locate("k3s-launch");
}

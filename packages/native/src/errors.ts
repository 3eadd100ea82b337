import { NodeError } from "@k3s/errors";

/** The native part cannot be used on this machine as it is. */
export class NativeError extends NodeError {
  override readonly name = "NativeError";

  static notBuilt(file: string, folders: readonly string[]): NativeError {
    const places = folders.map((folder) => `"${folder}"`).join(" or ");
    return new NativeError("ERR_NATIVE_NOT_BUILT", `Cannot find native part "${file}": it is not in ${places}`, {
      hint: "In a checkout run: node packages/native/build.ts; an installed product lacks a file, install it again",
    });
  }

  static notLoadable(path: string, cause: unknown): NativeError {
    return new NativeError("ERR_NATIVE_NOT_LOADABLE", `Cannot load native part "${path}": it does not fit this Node`, {
      hint: "In a checkout remove packages/native/out and run: node packages/native/build.ts",
      cause,
    });
  }

  static noPlace(name: string, folders: readonly string[], cause: unknown): NativeError {
    const places = folders.map((folder) => `"${folder}"`).join(", ");
    return new NativeError("ERR_NATIVE_NO_PLACE", `Cannot lay out native part "${name}": none of ${places} takes it`, {
      hint: "Make one of them writable, with some megabytes free, on a file system from which programs may be executed (no noexec)",
      cause,
    });
  }
}

import { dlopen } from "node:process";
import { NativeError } from "./errors.ts";

const loaded = new Map<string, unknown>();

/** What the add-on at `path` exports, loaded once in each thread. Throws NativeError when it does not fit this Node or machine. */
export function loadAddon(path: string): unknown {
  if (!loaded.has(path)) loaded.set(path, load(path));
  return loaded.get(path);
}

function load(path: string): unknown {
  const module: { exports: unknown } = { exports: {} };
  try {
    dlopen(module, path);
  } catch (error) {
    throw NativeError.notLoadable(path, error);
  }
  return module.exports;
}

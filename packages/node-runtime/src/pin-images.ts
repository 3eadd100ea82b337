import type { ImageStore } from "./image-store.ts";

/**
 * Pins the images under their name and under `<repository>@<digest>`, and returns all of these names. Names that the store
 * does not have are left out.
 */
export async function pinImages(
  store: ImageStore,
  names: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const pinned: string[] = [];
  for (const { name, alias } of await pinnableNames(store, names, signal)) {
    await store.pin(name, signal);
    if (alias !== name) await store.tag(name, alias, signal);
    await store.pin(alias, signal);
    pinned.push(name, alias);
  }
  return pinned;
}

/** Both names of each image that the store has. */
export async function pinnableNames(
  store: ImageStore,
  names: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly name: string; readonly alias: string }[]> {
  const stored = new Map((await store.list(signal)).map(({ name, digest }) => [name, digest]));
  return names.flatMap((name) => {
    const digest = stored.get(name);
    return digest === undefined ? [] : [{ name, alias: `${name.replace(/(@[^/]*|:[^/:]*)$/, "")}@${digest}` }];
  });
}

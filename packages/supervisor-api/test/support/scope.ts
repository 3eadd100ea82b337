import { after } from "node:test";

/** Cleanups of what a whole file shares, in reverse order. */
export function fileScope(): { readonly after: (cleanup?: unknown) => void } {
  const cleanups: (() => unknown)[] = [];
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });
  // Sound cast: only functions are registered.
  return { after: (cleanup) => void cleanups.unshift(cleanup as () => unknown) };
}

/** Put in by the build in place of the name below. */
declare const K3S_BUILD: { readonly release: string; readonly commit: string } | undefined;

/** Which build of this product runs; straight from the sources it is nameless, as with the original. */
export const buildInfo: { readonly release: string; readonly commit: string } =
  typeof K3S_BUILD === "undefined" ? { release: "k3s-dev", commit: "HEAD" } : K3S_BUILD;

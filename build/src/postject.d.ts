/** The library has no types of its own. */
declare module "postject" {
  /** Adds `data` to the executable `file`, in place, as a section that Node finds by its name. */
  export function inject(
    ...argument: readonly [file: string, name: string, data: Buffer, options: { readonly sentinelFuse: string }]
  ): Promise<void>;
}

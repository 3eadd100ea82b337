export { executablePath } from "./executable-path.ts";
export { loadComponentSet, type ComponentSet } from "./component-set.ts";
export { writeImageArchive } from "./image-archive.ts";
export { formatTar, type TarEntry } from "./tar-archive.ts";
export { unpackComponents, type UnpackOptions } from "./unpack-components.ts";
export { parseVersion, type ComponentVersions, type Version } from "./version.ts";
export type { Progress, ProgressEvent } from "./progress.ts";
export { provideComponents, type ProvideOptions, type SourceName } from "./provide-components.ts";
export type { SourceContext } from "./source-context.ts";

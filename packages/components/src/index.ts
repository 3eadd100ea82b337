export { executablePath, type ExecutablePathOptions } from "./executable-path.ts";
export { loadComponentSet, type ComponentSet } from "./component-set.ts";
export { ComponentError } from "./errors.ts";
export { writeImageArchive, type ImageConfig, type ImageContent } from "./image-archive.ts";
export { formatTar, type TarEntry } from "./tar-archive.ts";
export { unpackComponents, type UnpackOptions } from "./unpack-components.ts";
export { compareVersions, parseVersion, type ComponentVersions, type Version } from "./version.ts";

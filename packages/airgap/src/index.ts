export { makeBundle } from "./bundle.ts";
export { AirgapError } from "./errors.ts";
export { makeImageArchive, type ImageArchiveOptions } from "./image-archive.ts";
export { neededImages } from "./needed-images.ts";

export { MANIFESTS } from "./manifests.ts";
export { serverComponents } from "./server-components.ts";
export { serverRoutes } from "./server-routes.ts";
export { TokenRotation } from "./token-rotation.ts";

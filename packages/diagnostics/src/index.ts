export { AccessReviewer } from "./access-reviewer.ts";
export { diagnosticRoutes } from "./diagnostic-routes.ts";

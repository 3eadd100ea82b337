export { armFailpoints, failpoint, type FailpointAction } from "./failpoint.ts";

export { AddressTurns } from "./address-turns.ts";
export type { PasswordCheck, TokenCheck } from "./authenticate.ts";
export type { ConnectionLimits } from "./connection-table.ts";
export { SupervisorError } from "./errors.ts";
export type { Identity } from "./identity.ts";
export type { Routes } from "./own-routes.ts";
export {
  ANYBODY_KNOWN,
  RouteRefusal,
  type ConnectRoute,
  type Route,
  type RouteAnswer,
  type RouteRequest,
  type UpgradeRoute,
} from "./route.ts";
export { failures } from "./status.ts";
export { SupervisorListener, type SupervisorOptions } from "./supervisor-listener.ts";

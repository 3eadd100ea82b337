export type { PasswordCheck } from "./authenticate.ts";
export type { ConnectionLimits } from "./connection-table.ts";
export { SupervisorError } from "./errors.ts";
export { SupervisorListener, type SupervisorOptions } from "./supervisor-listener.ts";

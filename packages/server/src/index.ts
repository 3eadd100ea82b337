export { serverComponents } from "./server-components.ts";
export type { ServerHost } from "./server-host.ts";

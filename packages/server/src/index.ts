export { serverComponents } from "./server-components.ts";

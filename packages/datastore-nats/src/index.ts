export { openNatsDriver } from "./open-nats-driver.ts";

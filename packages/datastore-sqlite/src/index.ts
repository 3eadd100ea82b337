export { openSqliteDriver } from "./open-sqlite-driver.ts";

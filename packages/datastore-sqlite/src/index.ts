export { SqliteError } from "./errors.ts";
export { openSqliteDriver, type SqliteDriverOptions } from "./open-sqlite-driver.ts";

export { openSqliteDriver } from "./open-sqlite-driver.ts";
export type { SqliteSettings } from "./sqlite-settings.ts";

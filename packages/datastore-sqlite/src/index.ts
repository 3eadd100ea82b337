export { findSqliteUser } from "./find-sqlite-user.ts";
export { openSqliteDriver } from "./open-sqlite-driver.ts";
export { openSqliteReader } from "./open-sqlite-reader.ts";
export type { SqliteReader } from "./sqlite-reader.ts";
export type { SqliteSettings } from "./sqlite-settings.ts";

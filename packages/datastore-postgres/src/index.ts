export { openPostgresDriver } from "./open-postgres-driver.ts";
export { parsePostgresDsn } from "./parse-postgres-dsn.ts";

export { openPostgresDriver } from "./open-postgres-driver.ts";
export { openPostgresReader } from "./open-postgres-reader.ts";
export { parsePostgresDsn } from "./parse-postgres-dsn.ts";

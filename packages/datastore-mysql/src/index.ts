export { parseMysqlDsn } from "./mysql-dsn.ts";
export { openMysqlDriver } from "./open-mysql-driver.ts";
export { openMysqlReader } from "./open-mysql-reader.ts";

export { parseMysqlDsn } from "./mysql-dsn.ts";
export { openMysqlDriver } from "./open-mysql-driver.ts";

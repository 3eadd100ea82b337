export { MysqlDsnError, MysqlError } from "./errors.ts";
export { parseMysqlDsn } from "./mysql-dsn.ts";
export type { MysqlTlsFiles } from "./mysql-target.ts";
export { openMysqlDriver, type MysqlDriverOptions } from "./open-mysql-driver.ts";

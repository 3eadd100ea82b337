export { parseMysqlDsn } from "./mysql-dsn.ts";

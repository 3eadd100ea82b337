import { NodeError } from "@k3s/errors";

/** A DSN that go-sql-driver/mysql would refuse as well. */
export class MysqlDsnError extends NodeError {
  override readonly name = "MysqlDsnError";

  /** `shown` is the DSN without its password. */
  static malformed(shown: string, reason: string): MysqlDsnError {
    return new MysqlDsnError("ERR_MYSQL_DSN", `Cannot parse datastore endpoint "mysql://${shown}": ${reason}`, {
      hint: "Write it as mysql://user:password@tcp(host:3306)/database or mysql://user:password@unix(/path)/database",
    });
  }
}

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

/** The database cannot be used as it is. */
export class MysqlError extends NodeError {
  override readonly name = "MysqlError";

  static tlsFile(path: string, cause: unknown): MysqlError {
    return new MysqlError("ERR_MYSQL_TLS_FILE", `Cannot read TLS file "${path}" of the datastore: it is not readable`, {
      hint: "Name PEM files that this user can read",
      cause,
    });
  }

  static refused(where: string, cause: unknown): MysqlError {
    return new MysqlError("ERR_MYSQL_ACCESS", `Cannot open datastore at ${where}: the server lets this user not in`, {
      hint: "Check user, password and database of the endpoint, GRANT ALL ON the database to this user, and see whether the account is locked, expired or for TLS alone",
      cause,
    });
  }

  static authPlugin(plugin: string, where: string, cause: unknown): MysqlError {
    return new MysqlError(
      "ERR_MYSQL_AUTH_PLUGIN",
      `Cannot open datastore at ${where}: the server asks for ${plugin} to authenticate this user, which is not built in`,
      {
        hint: "ALTER USER … IDENTIFIED VIA mysql_native_password USING PASSWORD('…') on MariaDB, or IDENTIFIED WITH caching_sha2_password BY '…' on MySQL",
        cause,
      },
    );
  }

  static cleartext(where: string, cause: unknown): MysqlError {
    return new MysqlError(
      "ERR_MYSQL_CLEARTEXT",
      `Cannot open datastore at ${where}: the server asks for mysql_clear_password, which shows it the password`,
      {
        hint: "Add allowCleartextPasswords=true to the endpoint, with TLS unless it is a unix socket; or give the user another authentication plugin",
        cause,
      },
    );
  }

  static lacksPrivilege(where: string, cause: unknown): MysqlError {
    return new MysqlError(
      "ERR_MYSQL_PRIVILEGE",
      `Cannot open datastore at ${where}: the user lacks a privilege there`,
      {
        hint: "GRANT CREATE, INDEX and ALTER ON the database to this user, beside SELECT, INSERT, UPDATE, DELETE and LOCK TABLES; the cause names what is missing",
        cause,
      },
    );
  }

  static readOnly(where: string, cause: unknown): MysqlError {
    return new MysqlError("ERR_MYSQL_READ_ONLY", `Cannot open datastore at ${where}: the server takes no writes`, {
      hint: "Name the server that takes writes, or end read_only (super_read_only, transaction_read_only) of this one, which is on at replicas",
      cause,
    });
  }

  static crowded(where: string, cause: unknown): MysqlError {
    return new MysqlError("ERR_MYSQL_CROWDED", `Cannot open datastore at ${where}: it has no connection left`, {
      hint: "End connections that nobody needs, or raise max_connections of the server, or the limit of the user that the cause names",
      cause,
    });
  }

  static untrusted(where: string, cause: unknown): MysqlError {
    return new MysqlError("ERR_MYSQL_TLS", `Cannot open datastore at ${where}: its certificate is not trusted`, {
      hint: "Name the CA of the server with --datastore-cafile (k3s datastore serve: --ca-file), and the server by a name that its certificate has",
      cause,
    });
  }

  static noTls(where: string, cause: unknown): MysqlError {
    return new MysqlError("ERR_MYSQL_NO_TLS", `Cannot open datastore at ${where}: the server does not offer TLS`, {
      hint: "Enable TLS at the server, or set tls=false in the endpoint and name no TLS files for it; with allowFallbackToPlaintext=true it is used as it is",
      cause,
    });
  }

  /** `names` are those that the endpoint asks for and the server may mean. */
  static badParameter(names: readonly string[], cause: unknown): MysqlError {
    return new MysqlError(
      "ERR_MYSQL_PARAMETER",
      `Cannot use parameter of the datastore endpoint: the server does not take ${names.join(", ")}`,
      {
        hint: "Correct it or leave it out; a parameter that is none of the driver's is set as a session variable of the server",
        cause,
      },
    );
  }

  static foreign(where: string, cause: unknown): MysqlError {
    return new MysqlError("ERR_MYSQL_FOREIGN", `Cannot open datastore at ${where}: nobody there speaks MySQL`, {
      hint: "Look which program listens there: address and port of the endpoint must be those of a MySQL or MariaDB that is not stuck",
      cause,
    });
  }

  static unreachable(where: string, cause: unknown): MysqlError {
    return new MysqlError("ERR_MYSQL_UNREACHABLE", `Cannot open datastore at ${where}: the server cannot be used`, {
      hint: "Look whether the database runs, and whether address and port of the endpoint are right",
      cause,
    });
  }

  static busy(where: string, cause: unknown): MysqlError {
    return new MysqlError("ERR_MYSQL_BUSY", `Cannot open datastore at ${where}: the server keeps statements waiting`, {
      hint: "Look in the database for locks on the tables of k3s and for long transactions, as those of a backup, and whether it stands still",
      cause,
    });
  }

  static absent(what: string, where: string, cause: unknown): MysqlError {
    return new MysqlError("ERR_MYSQL_ABSENT", `Cannot read datastore at ${where}: there is no ${what}`, {
      hint: "Look at the name of the database in the endpoint; a server makes database and tables when it starts",
      ...(cause === undefined ? {} : { cause }),
    });
  }

  static notCopied(database: string, where: string): MysqlError {
    return new MysqlError(
      "ERR_MYSQL_NOT_COPIED",
      `Cannot read datastore at ${where}: the rows of database "${database}" are in table key_value, and table kine has none`,
      { hint: "Start a server on this database: it copies them to table kine" },
    );
  }

  static otherSchema(what: string): MysqlError {
    return new MysqlError("ERR_MYSQL_OTHER_SCHEMA", `Cannot use table kine: ${what}`, {
      hint: "Name a database of k3s or kine in the endpoint, or one that does not exist",
    });
  }

  static otherEngine(engine: string): MysqlError {
    return new MysqlError("ERR_MYSQL_ENGINE", `Cannot use table kine: its storage engine is ${engine}`, {
      hint: "Run: ALTER TABLE kine ENGINE=InnoDB",
    });
  }

  static noUniqueIndex(cause: unknown): MysqlError {
    return new MysqlError("ERR_MYSQL_UNIQUE_INDEX", "Cannot use table kine: its unique index cannot be made", {
      hint: "Stop all servers on this database and start again",
      cause,
    });
  }

  static looseNames(cure: string, cause: unknown): MysqlError {
    return new MysqlError(
      "ERR_MYSQL_LOOSE_NAMES",
      "Cannot use table kine: it holds keys that its collation takes for the same, as /a/B and /a/b",
      { hint: `Stop all servers on this database and run: ${cure}`, cause },
    );
  }

  static oldTable(cause: unknown): MysqlError {
    return new MysqlError("ERR_MYSQL_OLD_TABLE", "Cannot copy table key_value to kine: a row does not fit", {
      hint: "The cause has the server's own words; without the old rows a server starts after: RENAME TABLE key_value TO key_value_old",
      cause,
    });
  }

  static smallPackets(bytes: number): MysqlError {
    return new MysqlError("ERR_MYSQL_PACKET", `Cannot use the database: max_allowed_packet is ${bytes} bytes`, {
      hint: "Set max_allowed_packet of the server to 16M",
    });
  }

  static statementLog(): MysqlError {
    return new MysqlError("ERR_MYSQL_BINLOG", "Cannot use the database: binlog_format is STATEMENT", {
      hint: "Set binlog_format of the server to ROW or MIXED",
    });
  }
}

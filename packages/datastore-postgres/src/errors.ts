import { NodeError } from "@k3s/errors";

/** The PostgreSQL server, or what was said about it, cannot be used. */
export class PostgresError extends NodeError {
  override readonly name = "PostgresError";

  /** `dsn` has its password hidden already. */
  static badDsn(dsn: string, part: string, state: string): PostgresError {
    return new PostgresError("ERR_POSTGRES_DSN", `Cannot use datastore endpoint "${dsn}": ${part}: ${state}`, {
      hint: "Write it as postgres://user:password@host:port/database?parameter=value, special characters percent-encoded",
    });
  }

  static unreachable(where: string, cause: unknown): PostgresError {
    return new PostgresError(
      "ERR_POSTGRES_UNREACHABLE",
      `Cannot connect to PostgreSQL at ${where}: it does not answer`,
      {
        hint: "Look whether the server runs, listens on that address and is not kept back by a firewall",
        cause,
      },
    );
  }

  static noTls(where: string, sslMode: string, cause: unknown): PostgresError {
    return new PostgresError(
      "ERR_POSTGRES_NO_TLS",
      `Cannot connect to PostgreSQL at ${where}: it does not offer TLS, which sslmode=${sslMode} asks for`,
      {
        hint: "Enable TLS at the server (ssl=on), or set sslmode=prefer or sslmode=disable in the endpoint",
        cause,
      },
    );
  }

  static noDirectTls(where: string, cause: unknown): PostgresError {
    return new PostgresError(
      "ERR_POSTGRES_DIRECT_TLS",
      `Cannot connect to PostgreSQL at ${where}: it hangs up where TLS begins, as sslnegotiation=direct asks for`,
      {
        hint: "Enable TLS at the server (ssl=on), which has to be PostgreSQL 17 or later, or leave sslnegotiation out of the endpoint",
        cause,
      },
    );
  }

  static badParameter(where: string, cause: unknown): PostgresError {
    return new PostgresError(
      "ERR_POSTGRES_PARAMETER",
      `Cannot connect to PostgreSQL at ${where}: it does not take a parameter of the endpoint`,
      {
        hint: "Correct or leave out the one that the cause names; a parameter that is none of the connection's is set in each session",
        cause,
      },
    );
  }

  static foreign(where: string, cause: unknown): PostgresError {
    return new PostgresError("ERR_POSTGRES_FOREIGN", `Cannot connect to PostgreSQL at ${where}: it is no PostgreSQL`, {
      hint: "Look which program listens there: address and port of the endpoint must be those of a PostgreSQL",
      cause,
    });
  }

  static refused(where: string, cause: unknown): PostgresError {
    return new PostgresError("ERR_POSTGRES_REFUSED", `Cannot connect to PostgreSQL at ${where}: it refused`, {
      hint: "The cause has the server's own words: look at user, password, pg_hba.conf and the TLS settings",
      cause,
    });
  }

  static login(where: string, method: string, cause: unknown): PostgresError {
    return new PostgresError(
      "ERR_POSTGRES_LOGIN",
      `Cannot connect to PostgreSQL at ${where}: it asks for ${method}, which is not built in`,
      {
        hint: "Let this user in by scram-sha-256, md5 or cert: in front of the line that fits now in pg_hba.conf of the server",
        cause,
      },
    );
  }

  static crowded(where: string, cause: unknown): PostgresError {
    return new PostgresError(
      "ERR_POSTGRES_CROWDED",
      `Cannot connect to PostgreSQL at ${where}: it has no connection left`,
      {
        hint: "End connections that nobody needs, or raise max_connections of the server, or the CONNECTION LIMIT of the database or user that the cause names",
        cause,
      },
    );
  }

  static noPassword(where: string, cause: unknown): PostgresError {
    return new PostgresError(
      "ERR_POSTGRES_NO_PASSWORD",
      `Cannot connect to PostgreSQL at ${where}: it asks for a password, and none is given`,
      {
        hint: "Write it in the endpoint (postgres://user:password@host), or give it with PGPASSWORD or a password file (~/.pgpass, or what PGPASSFILE names)",
        cause,
      },
    );
  }

  static scramRounds(where: string, cause: unknown): PostgresError {
    return new PostgresError(
      "ERR_POSTGRES_SCRAM_ROUNDS",
      `Cannot connect to PostgreSQL at ${where}: the password has too many rounds of SCRAM there`,
      {
        hint: "Lower scram_iterations at the server to 10,000,000 or less, then set the user's password again: it keeps the number it was made with",
        cause,
      },
    );
  }

  static unreadableFile(path: string, cause: unknown): PostgresError {
    return new PostgresError("ERR_POSTGRES_TLS_FILE", `Cannot read TLS file "${path}": it cannot be opened`, {
      hint: "Look whether the file exists and this user may read it",
      cause,
    });
  }

  static absent(what: string, where: string, cause: unknown): PostgresError {
    return new PostgresError("ERR_POSTGRES_ABSENT", `Cannot read PostgreSQL at ${where}: there is no ${what}`, {
      hint: "Look at the name of the database in the endpoint; a server makes database and tables when it starts",
      ...(cause === undefined ? {} : { cause }),
    });
  }

  static notCopied(database: string, where: string): PostgresError {
    return new PostgresError(
      "ERR_POSTGRES_NOT_COPIED",
      `Cannot read PostgreSQL at ${where}: the rows of database "${database}" are in table key_value, and table kine has none`,
      { hint: "Start a server on this database: it copies them to table kine" },
    );
  }

  static noDatabase(database: string, cause: unknown): PostgresError {
    return new PostgresError("ERR_POSTGRES_NO_DATABASE", `Cannot use database "${database}": it cannot be created`, {
      hint: `Create it yourself and make the user its owner: CREATE DATABASE "${database}"`,
      cause,
    });
  }

  static readOnly(where: string): PostgresError {
    return new PostgresError("ERR_POSTGRES_READ_ONLY", `Cannot use PostgreSQL at ${where}: it takes no writes`, {
      hint: "Name the primary, or several hosts with target_session_attrs=read-write",
    });
  }

  static otherSchema(columns: string): PostgresError {
    return new PostgresError(
      "ERR_POSTGRES_OTHER_SCHEMA",
      `Cannot use database: its table kine is a different one, with the columns ${columns}`,
      { hint: "Name a database of k3s or kine, or one that does not exist" },
    );
  }

  static noSchema(cause: unknown): PostgresError {
    return new PostgresError("ERR_POSTGRES_NO_SCHEMA", "Cannot use database: its tables cannot be brought up to date", {
      hint: "The cause has the server's own words; the user must own the tables, or be allowed to create them",
      cause,
    });
  }
}

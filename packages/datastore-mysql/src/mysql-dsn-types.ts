/** What `tls=` can say: `preferred` and `skip-verify` do not verify the server. */
export const SERVER_TLS_MODES = ["true", "false", "skip-verify", "preferred"] as const;
export type MysqlTlsMode = (typeof SERVER_TLS_MODES)[number];

/** A DSN of go-sql-driver/mysql, completed with its defaults. */
export interface MysqlDsn {
  readonly user: string;
  readonly password: string;
  /** Present: the server is reached by this unix socket, and host and port say nothing. */
  readonly socketPath: string | undefined;
  readonly host: string;
  readonly port: number;
  /** Empty: none was named. */
  readonly database: string;
  readonly tls: MysqlTlsMode;
  /** A server without TLS is used without, whatever else is said. */
  readonly allowFallbackToPlaintext: boolean;
  /** Limits in ms; undefined or 0: none was asked for. */
  readonly connectTimeoutMs: number | undefined;
  readonly readTimeoutMs: number | undefined;
  readonly writeTimeoutMs: number | undefined;
  readonly allowCleartextPasswords: boolean;
  readonly compress: boolean;
  /** Session variables with their values as SQL. */
  readonly variables: ReadonlyMap<string, string>;
}

import { TookTooLong } from "@k3s/datastore-sql";
import { classify, errorNumber, lacksPrivilege } from "./classify.ts";
import { MysqlError } from "./errors.ts";
import { ForeignServer } from "./foreign-server.ts";

/**
 * ER_DBACCESS_DENIED, ER_ACCESS_DENIED, ER_ACCESS_DENIED_NO_PASSWORD, ER_HOST_NOT_PRIVILEGED, ER_MUST_CHANGE_PASSWORD,
 * ER_MUST_CHANGE_PASSWORD_LOGIN, ER_PLUGIN_IS_NOT_LOADED (the account's: MySQL 9 has no mysql_native_password)
 */
const COMMON_REFUSALS = [1044, 1045, 1698, 1130, 1820, 1862, 1524];
/** ER_ACCOUNT_HAS_BEEN_LOCKED, ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK, ER_SECURE_TRANSPORT_REQUIRED */
const MYSQL_REFUSALS = [3118, 3955, 3159];
/** ER_ACCOUNT_HAS_BEEN_LOCKED, ER_USER_IS_BLOCKED: MySQL has other errors under these numbers, for statements that are not ours. */
const MARIADB_REFUSALS = [4151, 4150];
const REFUSALS = new Set([...COMMON_REFUSALS, ...MYSQL_REFUSALS, ...MARIADB_REFUSALS]);
/** ER_LOCK_WAIT_TIMEOUT: on rows or on tables. */
const LOCKED = 1205;
/** ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED */
const CROWDED = new Set([1040, 1203, 1226]);
/**
 * Of mysql2: TLS is wanted, and the server has none; the server asks for the password itself; authenticating as the server asks fails, or
 * cannot be done, which only the words say.
 */
const NO_TLS = "HANDSHAKE_NO_SSL_SUPPORT";
const CLEARTEXT = "MYSQL_CLEAR_PASSWORD_NOT_ENABLED";
const NO_PLUGIN = "AUTH_SWITCH_PLUGIN_ERROR";
const UNKNOWN_PLUGIN = /unknown plugin (?<plugin>[\w-]+)/;
/** The server may come, another program may leave its port or the server, a backup may end, and a replica may become the primary. */
export const PASSING: ReadonlySet<string> = new Set([
  ...["ERR_MYSQL_UNREACHABLE", "ERR_MYSQL_FOREIGN", "ERR_MYSQL_BUSY"],
  ...["ERR_MYSQL_READ_ONLY", "ERR_MYSQL_CROWDED"],
]);
/** OpenSSL's and Node's words for a certificate that fails verification. */
const UNTRUSTED = /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL|HANDSHAKE_/;

/** What an operator is told when opening fails. */
export function toOpenError(error: unknown, where: string): MysqlError {
  if (error instanceof MysqlError) return error;
  if (error instanceof TookTooLong) return MysqlError.busy(where, error);
  if (error instanceof ForeignServer) return MysqlError.foreign(where, error);
  return ofServer(error, where) ?? ofClient(error, where);
}

/** undefined: the server said nothing that has words of its own. */
function ofServer(error: unknown, where: string): MysqlError | undefined {
  const number = errorNumber(error) ?? 0;
  if (number === LOCKED) return MysqlError.busy(where, error);
  if (CROWDED.has(number)) return MysqlError.crowded(where, error);
  if (REFUSALS.has(number)) return MysqlError.refused(where, error);
  if (lacksPrivilege(error)) return MysqlError.lacksPrivilege(where, error);
  return classify(error) === "readOnly" ? MysqlError.readOnly(where, error) : undefined;
}

function ofClient(error: unknown, where: string): MysqlError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === NO_TLS) return MysqlError.noTls(where, error);
  if (code === CLEARTEXT) return MysqlError.cleartext(where, error);
  if (code === NO_PLUGIN) return ofPlugin(error, where);
  return UNTRUSTED.test(code) ? MysqlError.untrusted(where, error) : MysqlError.unreachable(where, error);
}

function ofPlugin(error: unknown, where: string): MysqlError {
  const plugin = UNKNOWN_PLUGIN.exec(String(error))?.groups?.["plugin"];
  return plugin === undefined ? MysqlError.unreachable(where, error) : MysqlError.authPlugin(plugin, where, error);
}

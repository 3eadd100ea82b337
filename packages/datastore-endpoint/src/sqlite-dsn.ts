import type { SqliteSettings } from "@k3s/datastore-sqlite";
import { EndpointError } from "./errors.ts";
import { ParameterError, readSqliteParameters } from "./sqlite-parameters.ts";

/** What stands behind `sqlite://`. */
export interface SqliteDsn {
  /** As given, maybe relative; undefined: the default of whoever opens it. */
  readonly path: string | undefined;
  readonly settings: SqliteSettings;
  /** What the operator should know, as sentences. */
  readonly warnings: readonly string[];
}

/**
 * kine looks for this word anywhere in the text. Its two others, `_kine_disable_compact_wal_checkpoint` and
 * `_kine_disable_startup_vacuum`, switch off what is never done here.
 */
const NO_CHECKPOINT = "_kine_disable_wal_autocheckpoint";
const LEFT_TO_OTHERS = "checkpoints are left to another program; unless one makes them, the log beside the file grows";

/**
 * Reads the text of `sqlite://<path>?<parameters>` behind its scheme, by the rules of kine and github.com/mattn/go-sqlite3.
 * `endpoint` is the whole, for messages. Throws EndpointError.
 */
export function parseSqliteDsn(text: string, endpoint: string): SqliteDsn {
  const question = text.indexOf("?");
  const file = question === -1 ? text : text.slice(0, question);
  try {
    const { settings, warnings } = readSqliteParameters(question === -1 ? "" : text.slice(question + 1));
    const dsn = { path: readPath(file), settings, warnings };
    return text.includes(NO_CHECKPOINT) ? withoutCheckpoints(dsn) : dsn;
  } catch (error) {
    if (error instanceof ParameterError) throw EndpointError.malformed(endpoint, error.message);
    throw error;
  }
}

/** `litestream://` is the same with the file left to Litestream's checkpoints. Throws EndpointError. */
export function parseLitestreamDsn(text: string, endpoint: string): SqliteDsn {
  return withoutCheckpoints(parseSqliteDsn(text, endpoint));
}

function withoutCheckpoints({ path, settings, warnings }: SqliteDsn): SqliteDsn {
  return {
    path,
    settings: { ...settings, checkpoints: "external" },
    warnings: [...new Set([...warnings, LEFT_TO_OTHERS])],
  };
}

function readPath(file: string): string | undefined {
  const path = file.startsWith("file:") ? readUri(file) : file;
  if (path === ":memory:") throw new ParameterError("a database in memory cannot be shared by reader and writer");
  if (path.includes("\0")) throw new ParameterError("the path has a zero byte");
  return path === "" ? undefined : path;
}

/** SQLite's own form, `file:path`, `file:/path` or `file:///path`. */
function readUri(uri: string): string {
  const [, authority, path = ""] = /^file:(?:\/\/([^/]*))?(.*)$/s.exec(uri) ?? [];
  if (authority !== undefined && authority !== "" && authority !== "localhost")
    throw new ParameterError(`the file is on the host "${authority}", it must be on this machine`);
  try {
    return decodeURIComponent(path);
  } catch {
    throw new ParameterError("the path has a percent sign that begins no escape");
  }
}

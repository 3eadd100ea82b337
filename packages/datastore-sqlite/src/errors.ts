import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { NodeError } from "@k3s/errors";
import { DriverError, type DriverErrorKind } from "@k3s/datastore";
import { ROWS_AFTER, type WorkerFailure } from "./worker-protocol.ts";

/** The database's own word for a failure, as cause of the errors below. */
class SqliteFailure extends Error {
  override readonly name = "SqliteFailure";
  readonly code: string;

  constructor({ code, message }: WorkerFailure) {
    super(`${message} (${code})`);
    this.code = code;
  }
}

/** The database file cannot be opened as it is. */
export class SqliteError extends NodeError {
  override readonly name = "SqliteError";

  static locked(path: string, owner: string): SqliteError {
    const by = owner === "" ? "another process" : `process ${owner}`;
    return new SqliteError("ERR_SQLITE_LOCKED", `Cannot open datastore "${path}": it is in use by ${by}`, {
      hint: "Stop the other server, or give this one a data directory of its own. In a container processes have other ids: look there as well",
    });
  }

  static notWritable(path: string, cause: unknown): SqliteError {
    return new SqliteError("ERR_SQLITE_NOT_WRITABLE", `Cannot open datastore "${path}": it is not writable`, {
      hint: "Make the folder and its files writable for this user; look whether the file system is mounted read-only",
      cause,
    });
  }

  /** Only for who just reads. */
  static notReadable(path: string, cause: unknown): SqliteError {
    return new SqliteError("ERR_SQLITE_NOT_READABLE", `Cannot open datastore "${path}": this user may not read it`, {
      hint: "Run the command as root, or as the owner of the file",
      cause,
    });
  }

  /** Only for who just reads: whoever writes is told of more than one file. */
  static noIndex(path: string, cause: unknown): SqliteError {
    return new SqliteError(
      "ERR_SQLITE_NO_INDEX",
      `Cannot open datastore "${path}": reading it needs "${path}-shm", which this user may not make or open`,
      {
        hint: "Run the command as root, or as the owner of the file; copy a file that is on a read-only file system elsewhere first",
        cause,
      },
    );
  }

  static noFolder(path: string, cause: unknown): SqliteError {
    return new SqliteError("ERR_SQLITE_NO_FOLDER", `Cannot open datastore "${path}": its folder cannot hold it`, {
      hint: "Name a file in a folder that is there or can be made: no part of the path may be a file, nor a place without files such as /proc",
      cause,
    });
  }

  static isFolder(path: string, cause?: unknown): SqliteError {
    return new SqliteError("ERR_SQLITE_IS_FOLDER", `Cannot open datastore "${path}": it is a folder`, {
      hint: "Name the file in it, such as state.db",
      cause,
    });
  }

  static diskFull(path: string, cause: unknown): SqliteError {
    return new SqliteError("ERR_SQLITE_DISK_FULL", `Cannot open datastore "${path}": the disk is full`, {
      hint: "Free space on the file system that holds the data directory",
      cause,
    });
  }

  static absent(path: string, cause: unknown): SqliteError {
    return new SqliteError("ERR_SQLITE_ABSENT", `Cannot open datastore "${path}": there is no such file`, {
      hint: "Start a server first, or name the file of one",
      cause,
    });
  }

  static noTable(path: string, cause: unknown): SqliteError {
    return new SqliteError("ERR_SQLITE_NO_TABLE", `Cannot open datastore "${path}": it has no table kine`, {
      hint: "Name the file of a server; one that was never started has no table yet",
      cause,
    });
  }

  static notCopied(path: string): SqliteError {
    return new SqliteError(
      "ERR_SQLITE_NOT_COPIED",
      `Cannot open datastore "${path}": its rows are in table key_value, and table kine has none`,
      { hint: "Start a server on this file: it copies them to table kine" },
    );
  }

  /** `copy`: the folder with a copy of the file and its log, or why there is none; undefined: there is no log. */
  static corrupt(path: string, cause: unknown, copy?: string | Error): SqliteError {
    const advice = `Restore the file from a backup; most of the damaged one can be read with: sqlite3 ${path} .recover`;
    return new SqliteError("ERR_SQLITE_CORRUPT", `Cannot open datastore "${path}": the file is damaged`, {
      hint: copy === undefined ? `${advice}; keep the damaged one` : `${advice}; ${tellCopy(copy)}`,
      cause,
    });
  }

  /** `copy`: the folder with a copy of the file and its log, or why there is none. */
  static logDamaged(path: string, copy: string | Error): SqliteError {
    const goOn = `sqlite3 ${path} "PRAGMA wal_checkpoint(TRUNCATE)"`;
    return new SqliteError("ERR_SQLITE_LOG_DAMAGED", `Cannot open datastore "${path}": its log is damaged`, {
      hint: `Restore a backup, or go on with what stands in front of the damage: ${goOn}; ${tellCopy(copy)}`,
      ...(typeof copy === "string" ? {} : { cause: copy }),
    });
  }

  static fileGone(path: string): SqliteError {
    return new SqliteError("ERR_SQLITE_FILE_GONE", `Cannot open datastore "${path}": it is empty, but its log is not`, {
      hint: `Put the file back that the log belongs to, or move ${path}-wal away to begin anew`,
    });
  }

  static notDatabase(path: string, cause: unknown): SqliteError {
    return new SqliteError("ERR_SQLITE_NOT_A_DATABASE", `Cannot open datastore "${path}": it is no SQLite database`, {
      hint: "Move the file away, or name another one",
      cause,
    });
  }

  static otherSchema(path: string, cause: unknown): SqliteError {
    return new SqliteError(
      "ERR_SQLITE_OTHER_SCHEMA",
      `Cannot open datastore "${path}": its table kine is a different one`,
      {
        hint: "Name a file of k3s or kine, or one that does not exist",
        cause,
      },
    );
  }

  static newerSchema(path: string, cause: unknown): SqliteError {
    return new SqliteError("ERR_SQLITE_NEWER_SCHEMA", `Cannot open datastore "${path}": a newer version wrote it`, {
      hint: "Use the version that wrote it, or a newer one",
      cause,
    });
  }

  static inputOutput(path: string, cause: unknown): SqliteError {
    return new SqliteError("ERR_SQLITE_IO", `Cannot open datastore "${path}": reading or writing it failed`, {
      hint: "Look at the kernel log for errors of the disk or the file system",
      cause,
    });
  }
}

function tellCopy(copy: string | Error): string {
  return typeof copy === "string"
    ? `a copy with the log is in ${copy}`
    : "copy the file and its log first, that failed";
}

type Make = (path: string, cause: unknown) => SqliteError;

// The first entry whose text begins the code is taken.
const AT_OPEN: readonly (readonly [code: string, make: Make])[] = [
  ["SCHEMA_OTHER", (path, cause) => SqliteError.otherSchema(path, cause)],
  ["SCHEMA_NEWER", (path, cause) => SqliteError.newerSchema(path, cause)],
  ["SQLITE_CORRUPT", (path, cause) => SqliteError.corrupt(path, cause)],
  ["SQLITE_NOTADB", (path, cause) => SqliteError.notDatabase(path, cause)],
  ["SQLITE_FULL", (path, cause) => SqliteError.diskFull(path, cause)],
  ["ENOSPC", (path, cause) => SqliteError.diskFull(path, cause)],
  ["EDQUOT", (path, cause) => SqliteError.diskFull(path, cause)],
  ["SQLITE_READONLY", (path, cause) => SqliteError.notWritable(path, cause)],
  ["SQLITE_CANTOPEN", (path, cause) => SqliteError.notWritable(path, cause)],
  ["SQLITE_PERM", (path, cause) => SqliteError.notWritable(path, cause)],
  ["EACCES", (path, cause) => SqliteError.notWritable(path, cause)],
  ["EPERM", (path, cause) => SqliteError.notWritable(path, cause)],
  ["EROFS", (path, cause) => SqliteError.notWritable(path, cause)],
  ["ENOTDIR", (path, cause) => SqliteError.noFolder(path, cause)],
  ["EEXIST", (path, cause) => SqliteError.noFolder(path, cause)],
  ["ENOENT", (path, cause) => SqliteError.noFolder(path, cause)],
  ["EISDIR", (path, cause) => SqliteError.isFolder(path, cause)],
  ["SQLITE_BUSY", (path) => SqliteError.locked(path, "")],
  ["SQLITE_IOERR", (path, cause) => toInputOutputError(path, cause)],
  ["EIO", (path, cause) => SqliteError.inputOutput(path, cause)],
];

/** What fails for want of room where SQLite does not say so: it does only of the file and its log (sqlite.org/rescode.html). */
const WANTS_ROOM = /^SQLITE_IOERR_(?:SHMSIZE|SHMOPEN|SHMMAP|WRITE|TRUNCATE)/;
/** What SQLite's shared memory takes at a time. */
const ROOM_BYTES = 32 * 1024;

function toInputOutputError(path: string, cause: unknown): SqliteError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  if (WANTS_ROOM.test(code) && isFull(dirname(path))) return SqliteError.diskFull(path, cause);
  return SqliteError.inputOutput(path, cause);
}

function isFull(folder: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize < ROOM_BYTES;
  } catch {
    return false;
  }
}

/** Whether SQLite found the content of the file wrong. */
export function isDamage(error: unknown): boolean {
  const source = error instanceof DriverError ? error.cause : error;
  if (!(source instanceof Error && "code" in source)) return false;
  return ["SQLITE_CORRUPT", "SQLITE_NOTADB"].some((code) => String(source.code).startsWith(code));
}

/** What an operator is told when opening fails; errors that are no failure of the file come back as they are. */
export function toOpenError(path: string, error: unknown): unknown {
  const source = error instanceof DriverError ? error.cause : error;
  if (source instanceof SqliteError) return source;
  if (!(source instanceof Error && "code" in source && typeof source.code === "string")) return error;
  const { code } = source;
  return AT_OPEN.find(([prefix]) => code.startsWith(prefix))?.[1](path, source) ?? error;
}

/** What is told of a failed read: damage comes with its cure, as a DriverError whose cause is a SqliteError. */
export function toReadError(path: string, error: unknown): unknown {
  if (!isDamage(error)) return error;
  const cause = error instanceof DriverError ? error.cause : error;
  return new DriverError("failed", "Cannot read SQLite's file: it is damaged", {
    cause: SqliteError.corrupt(path, cause),
  });
}

/** What the store is told of a failed request. */
export function toDriverError(failure: WorkerFailure): DriverError {
  return new DriverError(kindOf(failure.code), "Cannot carry out request: SQLite refused it", {
    cause: new SqliteFailure(failure),
  });
}

const CONFLICTS = [ROWS_AFTER, "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"];

/** A row breaks a rule of the table, or is too large for SQLite. */
const REFUSALS = /^SQLITE_(?:CONSTRAINT|TOOBIG|MISMATCH)/;

function kindOf(code: string): DriverErrorKind {
  if (CONFLICTS.includes(code)) return "conflict";
  if (REFUSALS.test(code)) return "refused";
  return code === "SQLITE_FULL" ? "noSpace" : "failed";
}

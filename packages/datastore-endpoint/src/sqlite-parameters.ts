import type { SqliteSettings } from "@k3s/datastore-sqlite";

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

/** What the parameters of a DSN ask for. */
export interface ReadParameters {
  readonly settings: SqliteSettings;
  /** Parameters that are understood differently, or not at all, as sentences. */
  readonly warnings: readonly string[];
}

/** The parameter cannot be honoured; `message` is the end of a sentence that names it. */
export class ParameterError extends Error {
  override readonly name = "ParameterError";
}

interface Reading {
  readonly name: string;
  readonly value: string;
  readonly settings: Writable<SqliteSettings>;
  readonly warn: (warning: string) => void;
}

interface Parameter {
  readonly name: string;
  /** Wins over the name when both are given, as in mattn/go-sqlite3. */
  readonly alias?: string;
  /** Not called for an empty value, which asks for nothing. */
  readonly read: (reading: Reading) => void;
}

const SYNCHRONOUS = { "0": "OFF", OFF: "OFF", "1": "NORMAL", NORMAL: "NORMAL" } as const;
const SYNCHRONOUS_DURABLE = { "2": "FULL", FULL: "FULL", "3": "EXTRA", EXTRA: "EXTRA" } as const;
const VACUUM = { "0": "NONE", NONE: "NONE", "1": "FULL", FULL: "FULL", "2": "INCREMENTAL", INCREMENTAL: "INCREMENTAL" };
const BOOLEAN = {
  "0": false,
  no: false,
  false: false,
  off: false,
  "1": true,
  yes: true,
  true: true,
  on: true,
} as const;
const JOURNALS = ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF", "WAL"];

// Names, aliases and values of github.com/mattn/go-sqlite3. What cannot change anything here is checked and passed over.
const PARAMETERS: readonly Parameter[] = [
  { name: "_synchronous", alias: "_sync", read: readSynchronous },
  { name: "_busy_timeout", alias: "_timeout", read: readBusyTimeout },
  { name: "_journal_mode", alias: "_journal", read: readJournal },
  { name: "_auto_vacuum", alias: "_vacuum", read: readAutoVacuum },
  { name: "_cache_size", read: ({ name, value, settings }) => (settings.cachePages = integer(name, value)) },
  { name: "_secure_delete", read: readSecureDelete },
  { name: "_locking_mode", alias: "_locking", read: readLocking },
  { name: "_query_only", read: refuseIfTrue("the datastore has to be written") },
  { name: "_txlock", read: oneOf("immediate", "exclusive", "deferred") },
  { name: "_mutex", read: oneOf("no", "full") },
  { name: "_stmt_cache_size", read: ({ name, value }) => void integer(name, value) },
  { name: "_case_sensitive_like", alias: "_cslike", read: checkBoolean },
  { name: "_defer_foreign_keys", alias: "_defer_fk", read: checkBoolean },
  { name: "_foreign_keys", alias: "_fk", read: checkBoolean },
  { name: "_ignore_check_constraints", read: checkBoolean },
  { name: "_recursive_triggers", alias: "_rt", read: checkBoolean },
  { name: "_writable_schema", read: checkBoolean },
  { name: "_loc", read: () => undefined },
  // Without file: the library cuts these off. Those that would make a difference are not passed over in silence.
  { name: "cache", read: oneOf("shared", "private") },
  { name: "mode", read: oneOf("rwc", "rw") },
  { name: "immutable", read: refuseIfTrue("the datastore has to be written") },
  { name: "nolock", read: refuseIfTrue("other programs may open the file, too") },
];

/** Reads what stands behind the question mark. Throws ParameterError for a value that no reader of it takes. */
export function readSqliteParameters(query: string): ReadParameters {
  const given = parseQuery(query);
  const settings: Writable<SqliteSettings> = {};
  const warnings: string[] = [];
  const warn = (warning: string) => void warnings.push(warning);
  const known = new Set<string>();
  for (const parameter of PARAMETERS) {
    const names = [parameter.alias, parameter.name].filter((name) => name !== undefined);
    for (const name of names) known.add(name);
    const name = names.find((candidate) => given.has(candidate));
    const value = name === undefined ? "" : (given.get(name) ?? "");
    if (name !== undefined && value !== "") parameter.read({ name, value, settings, warn });
  }
  for (const name of given.keys()) {
    if (!known.has(name) && !name.startsWith("_kine_disable_")) warn(`the parameter ${name} is not known and ignored`);
  }
  return { settings, warnings };
}

/** As Go's url.ParseQuery; the first of several values counts. */
function parseQuery(query: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    if (pair.includes(";")) throw new ParameterError(`the parameters are separated by a semicolon, not by "&"`);
    const equals = pair.indexOf("=");
    const name = decode(equals === -1 ? pair : pair.slice(0, equals));
    const value = decode(equals === -1 ? "" : pair.slice(equals + 1));
    if (!values.has(name)) values.set(name, value);
  }
  return values;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw new ParameterError("the parameters have a percent sign that begins no escape");
  }
}

function readSynchronous({ name, value, settings, warn }: Reading): void {
  const level = value.toUpperCase();
  const durable = find(SYNCHRONOUS_DURABLE, level);
  const weak = durable ?? find(SYNCHRONOUS, level);
  if (weak === undefined) throw refused(name, value, "OFF, NORMAL, FULL or EXTRA");
  settings.synchronous = weak;
  if (durable === undefined) warn(`${name}=${value}: a power failure can take back writes that were acknowledged`);
}

function readBusyTimeout({ name, value, settings }: Reading): void {
  settings.busyTimeoutMs = Math.min(Math.max(0, integer(name, value)), 2_147_483_647);
}

function readJournal({ name, value }: Reading): void {
  const mode = value.toUpperCase();
  if (!JOURNALS.includes(mode)) throw refused(name, value, "WAL");
  if (mode !== "WAL") throw new ParameterError(`${name} is ${mode}, but reading beside writing needs WAL`);
}

function readAutoVacuum({ name, value, settings }: Reading): void {
  const mode = find(VACUUM, value.toUpperCase());
  if (mode === undefined) throw refused(name, value, "NONE, FULL or INCREMENTAL");
  settings.autoVacuum = mode as NonNullable<SqliteSettings["autoVacuum"]>; // sound: the values of VACUUM
}

function readSecureDelete({ name, value, settings }: Reading): void {
  const mode = value.toUpperCase();
  if (mode === "DEFAULT") return;
  if (mode === "FAST") settings.secureDelete = "FAST";
  else settings.secureDelete = boolean(name, value) ? "ON" : "OFF";
}

function readLocking({ name, value }: Reading): void {
  const mode = value.toUpperCase();
  if (mode !== "NORMAL" && mode !== "EXCLUSIVE") throw refused(name, value, "NORMAL");
  if (mode === "EXCLUSIVE") throw new ParameterError(`${name} is EXCLUSIVE, but two connections share the file`);
}

function refuseIfTrue(reason: string): (reading: Reading) => void {
  return ({ name, value }) => {
    if (boolean(name, value)) throw new ParameterError(`${name} is on, but ${reason}`);
  };
}

function checkBoolean({ name, value }: Reading): void {
  boolean(name, value);
}

function oneOf(...values: readonly string[]): (reading: Reading) => void {
  return ({ name, value }) => {
    if (!values.includes(value)) throw refused(name, value, values.join(" or "));
  };
}

function boolean(name: string, value: string): boolean {
  const found = find(BOOLEAN, value.toLowerCase());
  if (found === undefined) throw refused(name, value, "true or false");
  return found;
}

function integer(name: string, value: string): number {
  const number = /^[+-]?\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isNaN(number)) throw refused(name, value, "a whole number");
  return number;
}

function find<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

function refused(name: string, value: string, wanted: string): ParameterError {
  return new ParameterError(`${name} is "${value}", it must be ${wanted}`);
}

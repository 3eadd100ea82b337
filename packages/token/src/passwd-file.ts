import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { ensureDirectory, readIfExists, writeFileAtomic } from "@k3s/files";
import { formatCsv, parseCsv } from "./csv.ts";
import { TokenError } from "./errors.ts";
import { normalizeToken } from "./token.ts";

/** One line of `server/cred/passwd`. */
export interface PasswdEntry {
  readonly password: string;
  readonly user: string;
  readonly uid: string;
  readonly groups: readonly string[];
}

/** What became of the passwd file. */
export interface EnsuredPasswd extends Passwords {
  /** Whether the file was written: then the bootstrap record in the datastore is behind. */
  readonly isChanged: boolean;
}

/** What the operator said; undefined: keep what is stored, or make it up. */
export interface PasswdOptions {
  readonly serverDir: string;
  readonly token: string | undefined;
  readonly agentToken: string | undefined;
}

/** The passwords of the two built-in users. */
export interface Passwords {
  readonly server: string;
  readonly node: string;
}

const SERVER = { user: "server", group: "k3s:server" } as const;
const NODE = { user: "node", group: "k3s:agent" } as const;

/** The users of a passwd file, in its order; none when there is no file. Rejects with TokenError. */
export async function readPasswd(path: string): Promise<PasswdEntry[]> {
  let rows: string[][];
  try {
    rows = parseCsv((await readIfExists(path))?.toString("utf8") ?? "");
  } catch (error) {
    throw TokenError.fileUnusable(path, error);
  }
  return rows.map((columns) => {
    const [password, user, uid = "", groups = ""] = columns;
    if (password === undefined || user === undefined) throw TokenError.passwdColumns(path, columns.length);
    return { password, user, uid, groups: groups === "" ? [] : groups.split(",") };
  });
}

/** The text of a passwd file with these users. */
export function formatPasswd(entries: readonly PasswdEntry[]): string {
  return formatCsv(entries.map(({ password, user, uid, groups }) => [password, user, uid, groups.join(",")]));
}

/** Replaces the passwd file as a whole, 0600. Rejects with TokenError. */
export async function writePasswd(path: string, entries: readonly PasswdEntry[]): Promise<void> {
  try {
    await writeFileAtomic(path, formatPasswd(entries), { mode: 0o600 });
  } catch (error) {
    throw TokenError.fileUnusable(path, error);
  }
}

/**
 * Makes sure that the users `server` and `node` exist with the passwords asked for, and returns these.
 * Writes only when something differs. Rejects with TokenError.
 */
export async function ensurePasswd(options: PasswdOptions): Promise<EnsuredPasswd> {
  const directory = join(options.serverDir, "cred");
  const path = join(directory, "passwd");
  const entries = await readPasswd(path);
  const stored = storedPassword(entries, SERVER.user) ?? storedPassword(entries, NODE.user);
  const server = given(options.token) ?? (stored === undefined ? undefined : secretOf(stored)) ?? newPassword();
  const passwords: Passwords = { server, node: given(options.agentToken) ?? server };
  const wanted = withUsers(entries, builtInUsers(passwords));
  if (JSON.stringify(wanted) === JSON.stringify(entries)) return { ...passwords, isChanged: false };
  try {
    await ensureDirectory(directory, 0o700);
  } catch (error) {
    throw TokenError.fileUnusable(directory, error);
  }
  await writePasswd(path, wanted);
  return { ...passwords, isChanged: true };
}

function given(token: string | undefined): string | undefined {
  return token === undefined || token === "" ? undefined : normalizeToken(token);
}

/** Old files hold whole tokens where the password belongs. */
function secretOf(stored: string): string {
  return stored.startsWith("K10") ? normalizeToken(stored) : stored;
}

function storedPassword(entries: readonly PasswdEntry[], user: string): string | undefined {
  return entries.find((entry) => entry.user === user && entry.password !== "")?.password;
}

/** The two users that every server has. */
export function builtInUsers({ server, node }: Passwords): readonly PasswdEntry[] {
  return [builtIn(SERVER, server), builtIn(NODE, node)];
}

function builtIn({ user, group }: typeof SERVER | typeof NODE, password: string): PasswdEntry {
  return { password, user, uid: user, groups: [group] };
}

/** The users with these put in the places of those of the same name, or after them. */
export function withUsers(entries: readonly PasswdEntry[], wanted: readonly PasswdEntry[]): PasswdEntry[] {
  const kept = entries.map((entry) => wanted.find(({ user }) => user === entry.user) ?? entry);
  const added = wanted.filter(({ user }) => !entries.some((entry) => entry.user === user));
  return [...kept, ...added];
}

/** As k3s makes them up. */
export function newPassword(): string {
  return randomBytes(16).toString("hex");
}

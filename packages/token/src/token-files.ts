import { lstat, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ensureSymlink, readIfExists, writeFileAtomic } from "@k3s/files";
import { caHash } from "./ca-hash.ts";
import { TokenError } from "./errors.ts";
import { readPasswd, type Passwords } from "./passwd-file.ts";
import { formatToken } from "./token.ts";

const TOKEN = "token";

/** Where a server leaves the tokens for people to copy. */
export function tokenPaths(serverDir: string) {
  return {
    token: join(serverDir, TOKEN),
    nodeToken: join(serverDir, "node-token"),
    agentToken: join(serverDir, "agent-token"),
  };
}

export interface TokenFilesOptions {
  readonly serverDir: string;
  readonly passwords: Passwords;
  /** Whether agents have a token of their own (`--agent-token`). */
  readonly hasAgentToken: boolean;
}

/** Writes `token`, `node-token` and `agent-token` for the CA in `tls/server-ca.crt`; returns the server's token. */
export async function writeTokenFiles(options: TokenFilesOptions): Promise<string> {
  const { serverDir, passwords } = options;
  const paths = tokenPaths(serverDir);
  const caFile = join(serverDir, "tls", "server-ca.crt");
  try {
    const hash = caHash(await readFile(caFile));
    const token = formatToken(hash, `server:${passwords.server}`);
    await writeSecret(paths.token, `${token}\n`);
    await ensureSymlink(TOKEN, paths.nodeToken);
    if (options.hasAgentToken) await writeSecret(paths.agentToken, `${formatToken(hash, `node:${passwords.node}`)}\n`);
    else await ensureSymlink(TOKEN, paths.agentToken);
    return token;
  } catch (error) {
    throw error instanceof TokenError ? error : TokenError.fileUnusable(serverDir, error);
  }
}

/**
 * The token this server is to use: the one given, else the one in `server/token`, else the password of the user `server`
 * in `cred/passwd` (a first start that was cut off got that far), else undefined.
 */
export async function readServerToken(serverDir: string, given: string | undefined): Promise<string | undefined> {
  if (given !== undefined && given !== "") return given;
  const path = tokenPaths(serverDir).token;
  let stored: string | undefined;
  try {
    stored = (await readIfExists(path))?.toString("utf8").trim();
  } catch (error) {
    throw TokenError.fileUnusable(path, error);
  }
  if (stored !== undefined && stored !== "") return stored;
  const entries = await readPasswd(join(serverDir, "cred", "passwd"));
  const password = entries.find(({ user }) => user === "server")?.password;
  return password === "" ? undefined : password;
}

/** A regular file, also where a link was before. Left alone when it has this content already. */
async function writeSecret(path: string, text: string): Promise<void> {
  const current = await lstat(path).catch(() => undefined);
  const isSame =
    current?.isFile() === true && (current.mode & 0o777) === 0o600 && (await readFile(path, "utf8")) === text;
  if (!isSame) await writeFileAtomic(path, text, { mode: 0o600 });
}

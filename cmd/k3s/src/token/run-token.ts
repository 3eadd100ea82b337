import { homedir } from "node:os";
import { join } from "node:path";
import { deadline } from "@k3s/async";
import { loadNodePaths } from "@k3s/config";
import { createLogger } from "@k3s/log";
import { generateBootstrapToken, parseBootstrapTokenId } from "@k3s/token";
import type { CommandContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { listenForStop } from "../signals.ts";
import { BootstrapTokens } from "./bootstrap-tokens.ts";
import { formatTokens, parseOutputFormat } from "./format-tokens.ts";
import { readNewToken, type TokenTexts } from "./read-new-token.ts";
import { rotateToken } from "./rotate-token.ts";

export type TokenAction = "create" | "delete" | "generate" | "list" | "rotate";

export interface TokenRun {
  readonly action: TokenAction;
  readonly operands: readonly string[];
  readonly texts: TokenTexts;
}

/** For everything that a command asks of a server. */
const LIMIT_MS = 30_000;

/** Runs one of the token commands and resolves with the exit code. Rejects with NodeError. */
export async function runToken(run: TokenRun, context: CommandContext): Promise<number> {
  // Arguments may hold a token: from here on a process list shows the title instead.
  process.title = `k3s token ${run.action}`;
  using requests = listenForStop();
  using signal = deadline(LIMIT_MS, `k3s token ${run.action}`, requests.shutdown);
  const place = { ...run, env: context.env, signal, write: context.write, writeError: context.writeError };
  try {
    context.write(await ACTIONS[run.action](place));
    return 0;
  } catch (error) {
    if (requests.shutdown.aborted) return 1;
    throw error;
  }
}

interface Place extends TokenRun {
  readonly env: CommandContext["env"];
  readonly signal: AbortSignal;
  readonly write: CommandContext["write"];
  readonly writeError: CommandContext["writeError"];
}

/** Each resolves with what is to be printed in the end. */
const ACTIONS: Readonly<Record<TokenAction, (place: Place) => Promise<string>>> = {
  generate: () => {
    const { id, secret } = generateBootstrapToken();
    return Promise.resolve(`${id}.${secret}\n`);
  },
  create: async (place) => {
    const token = readNewToken(place.operands, place.texts, new Date());
    using tokens = await open(place);
    return `${await tokens.create(token, place.signal)}\n`;
  },
  delete: async (place) => {
    if (place.operands.length === 0) {
      throw UsageError.wrongArguments("token delete needs the id of a token", "k3s token delete");
    }
    const ids = place.operands.map(parseBootstrapTokenId);
    using tokens = await open(place);
    for (const id of ids) {
      await tokens.delete(id, place.signal);
      place.write(`bootstrap token "${id}" deleted\n`);
    }
    return "";
  },
  list: async (place) => {
    const format = parseOutputFormat(text(place, "output") ?? "text");
    using tokens = await open(place);
    return formatTokens(await tokens.list(place.signal), format, new Date());
  },
  rotate: async (place) => {
    const { env, signal } = place;
    const { serverDir } = await paths(place);
    const log = createLogger({
      level: text(place, "debug") === "true" ? "debug" : "warn",
      format: "text",
      write: place.writeError,
    });
    return await rotateToken({
      ...{ serverDir, signal, log, warn: place.writeError },
      server: text(place, "server") ?? given(env["K3S_URL"]) ?? "https://127.0.0.1:6443",
      token: text(place, "token") ?? given(env["K3S_TOKEN"]),
      newToken: text(place, "newToken") ?? "",
    });
  },
};

async function open(place: Place): Promise<BootstrapTokens> {
  const named = text(place, "kubeconfig") ?? given(place.env["KUBECONFIG"]?.split(":")[0]);
  const path = named ?? join((await paths(place)).credentialsDir, "admin.kubeconfig");
  return await BootstrapTokens.open(path, place.writeError);
}

function paths(place: Place): ReturnType<typeof loadNodePaths> {
  const dataDir = text(place, "dataDir");
  return loadNodePaths({
    flags: new Map(dataDir === undefined ? [] : [["data-dir", [dataDir]]]),
    env: place.env,
    host: { isRoot: process.getuid?.() === 0, home: homedir() },
    signal: place.signal,
  });
}

function text({ texts }: Place, name: string): string | undefined {
  const value = texts[name];
  return typeof value === "string" ? value : undefined;
}

function given(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

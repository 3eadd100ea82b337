import { lstat, mkdir, readdir, readFile, stat } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { findUnpacked, loadComponentSet, unpackComponents, type ComponentSet } from "@k3s/components";
import { isAbsent } from "@k3s/files";
import { createLogger } from "@k3s/log";
import type { CommandContext } from "../context.ts";
import { ToolError } from "../errors.ts";

const SYSTEM_DATA_DIR = "/var/lib/rancher/k3s";
const SYSTEM_CONFIG = "/etc/rancher/k3s/config.yaml";

/** What wants programs, and of which data dir. */
export interface ToolCall {
  /** What stood before the name of the tool. */
  readonly globals: readonly string[];
  /** The one program that is wanted; undefined: all of them. */
  readonly program?: string;
  /** Data dir of a node that is not told another one. Default: that of this machine. */
  readonly systemDataDir?: string;
}

/**
 * The programs for a tool: those of the node on this machine when they are of this release; else what is wanted of them is unpacked
 * where the caller may write. A folder of programs is used as it is.
 */
export async function toolSet(context: CommandContext, call: ToolCall): Promise<ComponentSet> {
  const { components } = context;
  const { systemDataDir = SYSTEM_DATA_DIR } = call;
  if (components.folder !== undefined) return await loadComponentSet(components.folder);
  const isRoot = process.geteuid?.() === 0;
  const named = await namedDataDir(context, call.globals);
  const own = isRoot ? [] : [join(homedir(), ".rancher/k3s")];
  const usual = [...(named === undefined ? [] : [named]), systemDataDir, ...own];
  const found = (await findUnpacked(components, usual)) ?? (await findUnpacked(components, usual, call.program));
  if (found !== undefined) return found;
  const order = { context, program: call.program };
  if (isRoot) return await unpack(order, named ?? systemDataDir);
  return await unpackForUser(order, [...(named === undefined ? [] : [named]), ...own]);
}

interface Order {
  readonly context: CommandContext;
  readonly program: string | undefined;
}

/** The first place that takes them; the last resort is a folder of the user's own among temporary files. */
async function unpackForUser(order: Order, places: readonly string[]): Promise<ComponentSet> {
  for (const dataDir of places) {
    const set = await unpack(order, dataDir).catch(() => undefined);
    if (set !== undefined) return set;
  }
  const place = join(tmpdir(), `k3s-${process.geteuid?.() ?? 0}`);
  await assertOwnFolder(place);
  return (await findUnpacked(order.context.components, [place], order.program)) ?? (await unpack(order, place));
}

/** Programs are run from there: nobody else may have made it, or be able to write to it. */
async function assertOwnFolder(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch(() => undefined); // there, or refused: what counts is what is there now
  const found = await lstat(path).catch(() => undefined);
  const isOwn = found?.isDirectory() === true && found.uid === process.geteuid?.() && (found.mode & 0o022) === 0;
  if (!isOwn) throw ToolError.noPlace(path);
}

async function unpack({ context, program }: Order, dataDir: string): Promise<ComponentSet> {
  const { components, isTerminal, writeError } = context;
  const what = program ?? "the programs of k3s";
  const log = createLogger({ level: "warn", format: "text", write: writeError });
  let shown = -1;
  const onProgress = (doneBytes: number, totalBytes: number) => {
    const percent = Math.floor((100 * doneBytes) / totalBytes);
    if (percent !== shown) writeError(`\rUnpacking ${what} to ${dataDir}, once: ${percent} %`);
    shown = percent;
  };
  try {
    return await unpackComponents({
      ...{ from: components, dataDir, activate: false, program, log },
      ...(isTerminal ? { onProgress } : {}),
    });
  } finally {
    if (shown >= 0) writeError("\r\u001b[K");
  }
}

async function namedDataDir({ env }: CommandContext, globals: readonly string[]): Promise<string | undefined> {
  return dataDirOf(globals) ?? env["K3S_DATA_DIR"] ?? (await configuredDataDir(env));
}

/** The last `--data-dir` before the tool's name. */
function dataDirOf(globals: readonly string[]): string | undefined {
  let found: string | undefined;
  for (const [index, text] of globals.entries()) {
    if (text === "-d" || text === "--data-dir") found = globals[index + 1];
    else found = /^(?:-d|--data-dir)=(.*)$/s.exec(text)?.[1] ?? found;
  }
  return found;
}

/**
 * Of the node on this machine, by its config file and the drop-ins after it. A configuration that cannot be read or understood is
 * no concern of a tool; a file that was named and is not there is refused, as a server does.
 */
async function configuredDataDir({ K3S_CONFIG_FILE: named }: CommandContext["env"]): Promise<string | undefined> {
  const isNamed = named !== undefined && named !== "";
  const file = isNamed ? named : SYSTEM_CONFIG;
  const names = await readdir(`${file}.d`).catch(() => []);
  const dropIns = names.filter((name) => /\.ya?ml$/i.test(name)).sort();
  if (isNamed && dropIns.length === 0) await assertThere(file);
  let found: string | undefined;
  for (const path of [file, ...dropIns.map((name) => join(`${file}.d`, name))])
    found = dataDirIn(await readFile(path, "utf8").catch(() => "")) ?? found;
  return found;
}

async function assertThere(file: string): Promise<void> {
  if (/^https?:\/\//.test(file)) return; // servers download that one, a tool does without
  const isMissing = await stat(file).then(() => false, isAbsent);
  if (!isMissing) return;
  const { ConfigError } = await import("@k3s/config"); // only here: a tool has to start quickly
  throw ConfigError.fileAbsent(file);
}

function dataDirIn(text: string): string | undefined {
  const lines = Array.from(text.matchAll(/^\s*["']?(?:data-dir|d)["']?\s*:\s*(.*?)\s*$/gm), ([, value = ""]) => value);
  const value = lines
    .at(-1)
    ?.replace(/\s+#.*$/, "")
    .replace(/^(["'])(.*)\1$/, "$2");
  return value === "" ? undefined : value;
}

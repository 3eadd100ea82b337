import { abortReason, soonAfter } from "@k3s/async";
import { findTlsProblems } from "@k3s/datastore-endpoint";
import { EtcdCallError, EtcdClientError } from "@k3s/etcd-client";
import { createLogger } from "@k3s/log";
import type { CommandContext } from "../context.ts";
import { DatastoreToolError, UsageError } from "../errors.ts";
import { listenForStop } from "../signals.ts";
import { checkDatastore, type CheckResult } from "./check-datastore.ts";
import { compactDatastore, type Compaction } from "./compact-datastore.ts";
import { readStatus, type ToolParts } from "./datastore-status.ts";
import { dumpDatastore } from "./dump-datastore.ts";
import type { DumpedKey } from "./dump-rows.ts";
import { formatStatus } from "./format-status.ts";
import { findTarget, type Target, type TargetFlags } from "./tool-target.ts";

export type ToolName = "status" | "check" | "compact" | "dump";

/** What a tool was told; numbers are still text. */
export interface ToolRun {
  readonly tool: ToolName;
  readonly target: TargetFlags;
  readonly isJson: boolean;
  readonly isDebug: boolean;
  readonly revision: string | undefined;
  readonly retain: string | undefined;
  readonly prefix: string;
}

const RETAIN = 1000;
const PIECE_LENGTH = 1 << 20;

/** Runs a tool on a datastore and resolves with the exit code. Rejects with NodeError. */
export async function runTool(run: ToolRun, context: CommandContext): Promise<number> {
  // The endpoint may hold a password: from here on a process list shows the title instead.
  process.title = `k3s datastore ${run.tool}`;
  using requests = listenForStop();
  const output = outputEnded();
  const signal = AbortSignal.any([requests.shutdown, output]);
  const log = createLogger({
    level: run.isDebug ? "debug" : "warn",
    format: "text",
    write: (line) => context.writeError(line),
  });
  const late = () => abortReason(requests.shutdown);
  // A reader that takes nothing does not keep us.
  const written = () => soonAfter(context.written(), { signal: requests.shutdown, ms: 0, late });
  const numbers = readNumbers(run);
  await assertTls(run);
  try {
    using target = await findTarget(run.target, context, signal);
    return await work(target, {
      ...run,
      ...numbers,
      log,
      signal,
      write: context.write,
      written,
    }).catch((error: unknown) => {
      throw toNodeError(error, target);
    });
  } catch (error) {
    if (requests.shutdown.aborted) {
      context.discard();
      return 1;
    }
    if (!output.aborted) throw error;
    await context.written();
    return 0;
  }
}

type Work = Omit<ToolRun, "revision" | "retain"> &
  ReturnType<typeof readNumbers> &
  ToolParts &
  Pick<CommandContext, "write" | "written">;

async function work(target: Target, run: Work): Promise<number> {
  const { write, isJson } = run;
  const print = async (value: unknown, text: string) => {
    write(isJson ? `${JSON.stringify(value)}\n` : text);
    await run.written();
  };
  switch (run.tool) {
    case "status": {
      const status = await readStatus(target, run);
      await print(status, formatStatus(status));
      return 0;
    }
    case "check": {
      const result = await checkDatastore(target, run);
      await print(result, formatCheck(result));
      return result.findings.length === 0 ? 0 : 1;
    }
    case "compact": {
      const compaction = await compactDatastore(target, run);
      await print(compaction, formatCompaction(compaction));
      return 0;
    }
    case "dump": {
      const format = (key: DumpedKey) => (isJson ? `${JSON.stringify(toJson(key))}\n` : formatKey(key));
      await dumpDatastore(target, { ...run, page: (keys) => writeKeys(keys, { ...run, format }) });
      return 0;
    }
  }
}

/** Joins keys until they are worth a call of the system: as text all of a page may be more than fits into memory. */
async function writeKeys(
  keys: readonly DumpedKey[],
  { format, write, written }: Pick<Work, "write" | "written"> & { readonly format: (key: DumpedKey) => string },
): Promise<void> {
  let piece = "";
  const flush = async () => {
    write(piece);
    piece = "";
    await written();
  };
  for (const key of keys) {
    piece += format(key);
    if (piece.length >= PIECE_LENGTH) await flush();
  }
  await flush();
}

function toNodeError(error: unknown, { server }: Target): unknown {
  if (!(error instanceof EtcdCallError)) return error;
  if (error.isAway && server !== undefined) return EtcdClientError.away(server.servers, error);
  return DatastoreToolError.refused("read the datastore", error.details);
}

/** Aborts when stdout takes no more; `k3s datastore dump | head` is no failure. */
function outputEnded(): AbortSignal {
  const ended = new AbortController();
  process.stdout.on("error", (error) => ended.abort(error));
  return ended.signal;
}

function readNumbers({ revision, retain }: ToolRun): {
  readonly revision: number | undefined;
  readonly retain: number;
} {
  const problems: string[] = [];
  const read = (name: string, text: string | undefined): number | undefined => {
    if (text === undefined || /^\d{1,15}$/.test(text)) return text === undefined ? undefined : Number(text);
    problems.push(`--${name} must be a whole number: current value is "${text}"`);
    return undefined;
  };
  const numbers = { revision: read("revision", revision), retain: read("retain", retain) ?? RETAIN };
  if (problems.length > 0) throw UsageError.wrongSettings(problems, "k3s datastore compact");
  return numbers;
}

/** Rejects with UsageError when the files are not there or do not go together. */
async function assertTls({ tool, target: { endpoint, tls } }: ToolRun): Promise<void> {
  if (endpoint === undefined) return;
  const flags = { caFile: "--ca-file", certFile: "--cert-file", keyFile: "--key-file" };
  const problems = (await findTlsProblems(tls)).map(({ file, reason }) => `${flags[file]} ${reason}`);
  if (problems.length > 0) throw UsageError.wrongSettings(problems, `k3s datastore ${tool}`);
}

function formatCheck({ datastore, checked, findings, cure }: CheckResult): string {
  const lines = checked.map((what) => `  checked ${what}`);
  const verdict = findings.length === 0 ? "nothing is wrong" : `${findings.length} findings`;
  const wrong = findings.map((finding) => `  WRONG: ${finding}`);
  return [`${datastore}: ${verdict}`, ...lines, ...wrong, ...(cure === null ? [] : [`  Hint: ${cure}`]), ""].join("\n");
}

function formatCompaction({ datastore, compactRevision, removedRows, nothingToForget }: Compaction): string {
  if (nothingToForget !== undefined) return `${datastore}: there is nothing to forget, ${nothingToForget}\n`;
  const rows = removedRows === undefined ? "its server removes old rows now" : `${removedRows} rows removed`;
  return `${datastore}: compacted up to revision ${compactRevision}, ${rows}\n`;
}

function formatKey({ key, value, modRevision }: DumpedKey): string {
  return `${printable(key) ?? `base64:${key.toString("base64")}`}\trevision ${modRevision}\t${value.length} bytes\n`;
}

function toJson({ key, value, createRevision, modRevision, lease }: DumpedKey) {
  const text = printable(key);
  return {
    ...(text === undefined ? { keyBase64: key.toString("base64") } : { key: text }),
    valueBase64: value.toString("base64"),
    createRevision,
    modRevision,
    ...(lease === 0n ? {} : { lease: lease.toString(16).padStart(16, "0") }),
  };
}

/** The key as text, where that is all of it and does nothing to a terminal. */
function printable(key: Buffer): string | undefined {
  const text = key.toString("utf8");
  return Buffer.from(text).equals(key) && !/\p{Cc}/u.test(text) ? text : undefined;
}

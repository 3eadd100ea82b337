import { constants } from "node:fs";
import { access, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deadline } from "@k3s/async";
import { checksFor, evaluate, formatReport, inspectHost, type PortFacts, type ProgramFacts } from "@k3s/check-config";
import { executablePath, findUnpacked, loadComponentSet, unpackHostTools, type ComponentSet } from "@k3s/components";
import { readHostFacts, type Role } from "@k3s/config";
import { describeError, NodeError } from "@k3s/errors";
import { isLeftover, ownerOf } from "@k3s/process";
import type { CommandContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { ROLES, type NodePlan } from "../node-roles.ts";
import { findPortUses } from "../preflight/check-ports.ts";
import { listenForStop } from "../signals.ts";

/** What the command line says. */
export interface CheckTexts {
  readonly output?: string;
  readonly json?: true;
  readonly role?: string;
  readonly dataDir?: string;
  readonly config?: string;
  readonly kernelConfig?: string | undefined;
}

/** Looking takes seconds; a disk or a program that does not answer must not hold up the report for ever. */
const LIMIT_MS = 60_000;

/** For documentation (RFC 5737): stands for the address that a machine without a network does not have. */
const SOME_ADDRESS = "192.0.2.1";

/** Prints what this machine offers and lacks. Resolves with 1 when something required is missing. Rejects with UsageError. */
export async function runCheckConfig(texts: CheckTexts, context: CommandContext): Promise<number> {
  using requests = listenForStop();
  using signal = deadline(LIMIT_MS, "k3s check-config", requests.shutdown);
  const isJson = wantsJson(texts);
  const kernelConfig = await findKernelConfig(texts.kernelConfig ?? context.env["CONFIG"]);
  const { plan, problem } = await loadSettings(texts, context, signal);
  await using tools = await findTools(context, plan.config.dataDir, signal);
  const facts = await inspectHost({
    ...(await inspectInstallation(plan, context)),
    path: tools.path,
    settingsProblem: problem,
    settingsWarnings: plan.config.warnings,
    kernelConfig,
    signal,
  });
  const report = evaluate(facts, checksFor(facts));
  context.write(
    isJson
      ? `${JSON.stringify({ ...report, facts }, undefined, 2)}\n`
      : formatReport(report, { kernelConfig: facts.kernel.configFile }),
  );
  return report.status === "pass" ? 0 : 1;
}

async function findKernelConfig(file: string | undefined): Promise<string | undefined> {
  if (file === undefined || file === "") return undefined;
  await access(file, constants.R_OK).catch(() => {
    throw UsageError.wrongArguments(`the kernel configuration "${file}" cannot be read`, "k3s check-config");
  });
  return file;
}

function wantsJson({ output, json }: CheckTexts): boolean {
  if (output !== undefined && !["text", "json"].includes(output))
    throw UsageError.wrongArguments(`"${output}" is no output format, only text or json`, "k3s check-config");
  return json === true || output === "json";
}

/** The node as it would be started by its settings; by the defaults alone when they cannot be understood. */
async function loadSettings(
  texts: CheckTexts,
  { env }: CommandContext,
  signal: AbortSignal,
): Promise<{ readonly plan: NodePlan; readonly problem: string | undefined }> {
  const role = roleOf(texts, env);
  const host = await readHostFacts();
  const given: (readonly [string, readonly string[]])[] = [
    ...(texts.dataDir === undefined ? [] : [["data-dir", [texts.dataDir]] as const]),
    // Where to join is not a matter of the machine.
    ...(role === "agent" ? [["server", ["https://127.0.0.1:6443"]] as const, ["token", ["unknown"]] as const] : []),
  ];
  const file = texts.config === undefined ? [] : [["config", [texts.config]] as const];
  const load = async (flags: typeof given, variables: CommandContext["env"]) =>
    await ROLES[role]({ flags: new Map(flags), unknownFlags: [], env: variables, host, signal });
  try {
    return { plan: await load([...given, ...file], env), problem: undefined };
  } catch (error) {
    if (!(error instanceof NodeError)) throw error;
    const defaults = await load([...given, ["node-ip", [SOME_ADDRESS]]], { K3S_CONFIG_FILE: "/dev/null" });
    return { plan: defaults, problem: oneLine(error) };
  }
}

function roleOf({ role }: CheckTexts, env: CommandContext["env"]): Role {
  if (role === "server" || role === "agent") return role;
  if (role !== undefined)
    throw UsageError.wrongArguments(`"${role}" is no role, only server or agent`, "k3s check-config");
  return env["K3S_URL"] ? "agent" : "server";
}

function oneLine(error: unknown): string {
  const [head = "", ...rest] = describeError(error).split(/:?\s*\n\s*/);
  return rest.length === 0 ? head : rest.filter(Boolean).join("; ");
}

async function inspectInstallation({ config, ports, ranges }: NodePlan, context: CommandContext) {
  const { dataDir } = config;
  const programs = await describePrograms(context);
  const owner = await ownerOf(dataDir);
  const ownPid = await runningOn(config.paths.lockFile);
  const isOurs = async (pid: number) => pid === ownPid || (await isLeftover(owner, pid));
  return {
    ...{ dataDir, ownPid, isOurs },
    programs,
    ports: await inspectPorts(ports, isOurs),
    ranges,
    notBeforeMs: await installedAt(context),
  };
}

/** The process that has written itself into the lock of the data dir, if it still runs and is a k3s. */
async function runningOn(lockFile: string): Promise<number | undefined> {
  const pid = (await readFile(lockFile, "utf8").catch(() => "")).trim();
  if (!/^\d+$/.test(pid)) return undefined;
  const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
  return name.startsWith("k3s") ? Number(pid) : undefined;
}

/** The programs where they can be run; undefined where nobody has unpacked them yet. */
async function findPrograms({ components }: CommandContext, dataDir: string): Promise<ComponentSet | undefined> {
  if (components.folder !== undefined) return await loadComponentSet(components.folder);
  return await findUnpacked(components, [dataDir]);
}

interface Tools extends AsyncDisposable {
  /** Search path of programs, as a node would have it. */
  readonly path: string;
}

/** The programs of the host, then those that a node brings along: where they are unpacked, else in a folder for the time of the check. */
async function findTools(context: CommandContext, dataDir: string, signal: AbortSignal): Promise<Tools> {
  // Users without privileges often lack the folders of the system's tools.
  const inherited = [context.env["PATH"], "/usr/local/sbin", "/usr/sbin", "/sbin"].filter(Boolean).join(":");
  const set = await findPrograms(context, dataDir).catch(() => undefined);
  if (set !== undefined)
    return {
      path: executablePath({ set, inherited, preferBundled: false }),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  const folder = await mkdtemp(join(tmpdir(), "k3s-check-config-"));
  // What cannot be unpacked is told by the check of the programs, and by those that miss a tool.
  const tools = await unpackHostTools(context.components, folder, signal).catch(() => undefined);
  return {
    path: tools === undefined ? inherited : `${inherited}:${tools}`,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

async function describePrograms({ components }: CommandContext): Promise<ProgramFacts> {
  try {
    const { kubernetes, containerd, runc } = (await components.manifest()).versions;
    return { versions: `Kubernetes ${kubernetes.text}, containerd ${containerd.text}, runc ${runc.text}` };
  } catch (error) {
    return { problem: oneLine(error) };
  }
}

async function inspectPorts(
  ports: NodePlan["ports"],
  isOurs: (pid: number) => Promise<boolean>,
): Promise<readonly PortFacts[]> {
  const uses = await findPortUses(ports, isOurs);
  return await Promise.all(
    uses.map(async ({ port, purpose, isTaken, owner }) => {
      if (!isTaken) return { port, purpose };
      const { name, pid } = owner ?? { name: "a process that cannot be seen from here", pid: undefined };
      return { port, purpose, takenBy: { name, pid, isOurs: pid !== undefined && (await isOurs(pid)) } };
    }),
  );
}

/** When the newest part of this program was made or put here: its file times. */
async function installedAt({ executable, components }: CommandContext): Promise<number> {
  const list = components.folder === undefined ? [] : [join(components.folder, "components.json")];
  const times = await Promise.all(
    [executable, process.execPath, ...list].map((file) =>
      stat(file).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      ),
    ),
  );
  return Math.max(...times);
}

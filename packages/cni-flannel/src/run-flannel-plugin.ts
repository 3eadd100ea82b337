import { spawnSync } from "node:child_process";
import { accessSync, closeSync, constants, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { delegateConfig, parsePluginConfig, type DelegateConfig, type PluginConfig } from "./delegate-config.ts";
import { CODE, PluginError } from "./plugin-error.ts";
import { parseSubnetFile } from "./subnet-file.ts";

type Environment = Readonly<Record<string, string | undefined>>;

const STDIN = 0;
const VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"];

/**
 * Is the CNI plugin `flannel` for one call of a container runtime: arguments in `env`, configuration on the standard input,
 * answer by `write` (the CNI specification). Returns the exit code. For ADD it becomes the delegate, whose answer and exit
 * code are then its own. Everything is synchronous: there is nothing else to do, and each pod waits for it.
 */
export function runFlannelPlugin(env: Environment, write: (text: string) => void): number {
  let version = VERSIONS.at(-1);
  try {
    if (env["CNI_COMMAND"] === "VERSION") {
      write(JSON.stringify({ cniVersion: version, supportedVersions: VERSIONS }));
      return 0;
    }
    const config = parsePluginConfig(readFileSync(STDIN, "utf8"));
    version = config.cniVersion ?? version;
    return runCommand(config, env);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const [code, details] = error instanceof PluginError ? [error.code, error.details] : [CODE.io, ""];
    write(JSON.stringify({ cniVersion: version, code, msg: error.message, ...(details === "" ? {} : { details }) }));
    return 1;
  }
}

function runCommand(config: PluginConfig, env: Environment): number {
  switch (env["CNI_COMMAND"]) {
    case "ADD":
      return add(config, env);
    case "DEL":
      return remove(config, env);
    case "CHECK":
      return 0; // what could be wrong is the delegate's, and flannel's own plugin checks nothing either
    default:
      throw new PluginError(
        CODE.invalidEnvironment,
        `Cannot run command "${env["CNI_COMMAND"] ?? ""}": it is not known`,
      );
  }
}

function add(config: PluginConfig, env: Environment): never {
  const delegate = delegateConfig(config, parseSubnetFile(readSubnetFile(config.subnetFile), config.subnetFile));
  const program = findPlugin(delegate.type, env);
  const record = recordPath(config, env);
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  writeFileSync(record, JSON.stringify(delegate), { mode: 0o600 });
  // The lowest free number: the record is now what the delegate reads as its standard input.
  closeSync(STDIN);
  if (openSync(record, "r") !== STDIN)
    throw new PluginError(CODE.io, "Cannot hand the configuration on: number 0 is taken");
  if (process.execve === undefined)
    throw new PluginError(CODE.io, "Cannot replace this process: the runtime is too old");
  return process.execve(program, [program], withoutUndefined(env));
}

/** Undoes with the configuration of the ADD, whatever the settings are by now; without one there is nothing to undo. */
function remove(config: PluginConfig, env: Environment): number {
  const record = recordPath(config, env);
  const text = readIfExists(record);
  if (text === undefined) return 0;
  const delegate = readRecord(text, record);
  const program = findPlugin(delegate.type, env);
  const { status, error } = spawnSync(program, [], {
    input: text,
    env: withoutUndefined(env),
    stdio: ["pipe", "inherit", "inherit"],
  });
  if (error !== undefined) throw new PluginError(CODE.io, `Cannot run "${program}": ${error.message}`);
  // Kept after a failure: the runtime tries again.
  if (status === 0) rmSync(record, { force: true });
  return status ?? 1;
}

function readRecord(text: string, path: string): DelegateConfig {
  const value = JSON.parse(text) as Partial<DelegateConfig>; // sound: add() wrote it
  if (typeof value.type === "string") return { ...value, type: value.type };
  throw new PluginError(CODE.undecodable, `Cannot use "${path}": it names no plugin`);
}

function readSubnetFile(path: string): string {
  const text = readIfExists(path);
  if (text !== undefined) return text;
  const details = "The node has no range of pod addresses yet: look whether k3s runs and reaches the cluster";
  throw new PluginError(CODE.tryLater, `Cannot read "${path}": it does not exist`, details);
}

function readIfExists(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** One file for each container. */
function recordPath({ dataDir }: PluginConfig, env: Environment): string {
  const id = env["CNI_CONTAINERID"] ?? "";
  // What the CNI specification allows; nothing that leads out of the folder.
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(id))
    throw new PluginError(CODE.invalidEnvironment, `Cannot use container "${id}": its name is not valid`);
  return join(dataDir, id);
}

function findPlugin(type: string, env: Environment): string {
  const folders = (env["CNI_PATH"] ?? "").split(":").filter((folder) => folder !== "");
  const found = type.includes("/") ? undefined : folders.map((folder) => join(folder, type)).find(isExecutable);
  if (found !== undefined) return found;
  throw new PluginError(CODE.invalidConfig, `Cannot find plugin "${type}": it is not in "${folders.join(":")}"`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function withoutUndefined(env: Environment): Record<string, string> {
  return Object.fromEntries(Object.entries(env).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])));
}

import { readConfigFiles, type FileValues } from "./config-files.ts";
import { deriveConfig } from "./derive-config.ts";
import type { Environment } from "./environment.ts";
import { ConfigError } from "./errors.ts";
import type { HostFacts } from "./host-facts.ts";
import { recordedArgument } from "./recorded-argument.ts";
import type { ServerConfig } from "./server-config.ts";
import { findSettingName, propertyName, serverSettings, settingEntries, type ServerValues } from "./server-settings.ts";
import type { Report, Setting } from "./setting.ts";
import { nearest } from "./suggest.ts";
import { satisfiedFlags, unsupportedFlags } from "./unsupported.ts";

/** Everything that settings come from. */
export interface ServerConfigSource {
  /** Texts per flag of the table, in the order of the command line. */
  readonly flags: ReadonlyMap<string, readonly string[]>;
  /** Flags of the command line that are not in the table, with their dashes and without values. */
  readonly unknownFlags: readonly string[];
  readonly env: Environment;
  readonly host: HostFacts;
  /** Cancels reading. */
  readonly signal: AbortSignal;
}

interface Texts {
  readonly texts: readonly string[];
  /** Where they come from, for messages; empty for the command line. */
  readonly origin: string;
}

/**
 * Flag beats drop-in beats config file beats environment beats default; lists of flags and files add up.
 * Rejects with one ConfigError that lists every mistake.
 */
export async function loadServerConfig(source: ServerConfigSource): Promise<ServerConfig> {
  const problems: string[] = [];
  const warnings: string[] = [];
  const report: Report = (problem) => void problems.push(problem);
  const refused = source.unknownFlags.filter((flag) => !satisfiedFlags.has(bareName(flag)));
  for (const flag of refused) report(describeUnknownFlag(flag));

  const { file, isRequired } = configFileOf(source);
  const files = await readConfigFiles(file, { report, isRequired, signal: source.signal });
  const fileValues = knownKeys(files, { report, warn: (warning) => void warnings.push(warning) });
  refuseVariables(source.env, report);

  const values = readTable((name, setting) => collect(name, setting, { ...source, files: fileValues }), report);
  const fileArguments = Array.from(fileValues, ([name, texts]) =>
    texts.flatMap((text) => recordedArgument(name, text)),
  );
  const { host, env, signal } = source;
  const inputs = { values, host, env, signal, fileArguments: fileArguments.flat() };
  const config = await deriveConfig(inputs, { report, warnings });
  if (problems.length > 0) throw ConfigError.invalid([...new Set(problems)]);
  return deepFreeze(config);
}

/** The values of the settings in `names`, from files, flags and variables; the others are as if nobody had set them. */
export async function readSettings(
  source: Pick<ServerConfigSource, "flags" | "env" | "signal"> & { readonly names: ReadonlySet<string> },
  report: Report,
): Promise<ServerValues> {
  const { names, signal } = source;
  const { file, isRequired } = configFileOf(source);
  const files = await readConfigFiles(file, { report, isRequired, signal });
  const fileValues = knownKeys(files, { report: ignoreProblem, warn: ignoreProblem });
  const nothing: Texts = { texts: [], origin: "" };
  return readTable(
    (name, setting) => (names.has(name) ? collect(name, setting, { ...source, files: fileValues }) : nothing),
    report,
  );
}

/** The variable goes first here, as in k3s. */
function configFileOf({ env, flags }: Pick<ServerConfigSource, "env" | "flags">): {
  readonly file: string;
  readonly isRequired: boolean;
} {
  const { config } = serverSettings;
  const named = nonEmpty(env[config.env]) ?? flags.get("config")?.at(-1);
  return { file: named ?? config.read([], ignoreProblem), isRequired: named !== undefined };
}

function ignoreProblem(): void {
  // Reading the default reports nothing.
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

function bareName(flag: string): string {
  return flag.replace(/^--?/, "");
}

function describeUnknownFlag(flag: string): string {
  const name = bareName(flag);
  const unsupported = unsupportedFlags.get(name);
  if (unsupported !== undefined) return `${flag} is not supported by this version: ${unsupported.reason}`;
  const suggestion = nearest(
    name,
    settingEntries.map(([known]) => known),
  );
  return suggestion === undefined
    ? `${flag} is not a flag of k3s server`
    : `${flag} is not a flag of k3s server: did you mean --${suggestion}?`;
}

interface Complaints {
  readonly report: Report;
  readonly warn: Report;
}

/** Translates spellings to names of the table. What k3s server would skip is skipped, but said. */
function knownKeys(files: FileValues, { report, warn }: Complaints): FileValues {
  const known = new Map<string, readonly string[]>();
  for (const [key, texts] of files) {
    const name = findSettingName(key);
    if (name !== undefined) known.set(name, [...(known.get(name) ?? []), ...texts]);
    else if (unsupportedFlags.has(key) && texts.some(asksForSomething))
      report(`${describeUnknownFlag(`--${key}`)} (in the config file)`);
    else if (!unsupportedFlags.has(key) && !satisfiedFlags.has(key)) {
      warn(`${describeUnknownFlag(`--${key}`)} (in the config file, ignored)`);
    }
  }
  return known;
}

/** `selinux: false` asks for nothing that is missing. */
function asksForSomething(text: string): boolean {
  return text !== "" && text !== "false";
}

function refuseVariables(env: Environment, report: Report): void {
  for (const [name, unsupported] of unsupportedFlags) {
    const text = unsupported.env === undefined ? undefined : nonEmpty(env[unsupported.env]);
    if (text !== undefined && asksForSomething(text)) {
      report(`${describeUnknownFlag(`--${name}`)} (set by ${unsupported.env ?? ""})`);
    }
  }
}

type Sources = Pick<ServerConfigSource, "flags" | "env"> & { readonly files: FileValues };

function collect(name: string, setting: Setting<unknown>, { flags, files, env }: Sources): Texts {
  const fromFiles = files.get(name) ?? [];
  const fromFlags = flags.get(name) ?? [];
  if (fromFlags.length > 0) return { texts: [...fromFiles, ...fromFlags], origin: "" };
  if (files.has(name)) return { texts: fromFiles, origin: " (in the config file)" };
  const text = nonEmpty(env[setting.env]);
  return { texts: text === undefined ? [] : setting.splitVariable(text), origin: ` (set by ${setting.env})` };
}

function readTable(textsOf: (name: string, setting: Setting<unknown>) => Texts, report: Report): ServerValues {
  const values: Record<string, unknown> = {};
  for (const [name, setting] of settingEntries) {
    const { texts, origin } = textsOf(name, setting);
    values[propertyName(name)] = setting.read(texts, (problem) => report(`--${name} ${problem}${origin}`));
  }
  return values as ServerValues; // sound: type and keys come from the same table
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

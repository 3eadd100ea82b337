import { readConfigFiles, type FileValues } from "./config-files.ts";
import type { Environment } from "./environment.ts";
import { ConfigError } from "./errors.ts";
import type { HostFacts } from "./host-facts.ts";
import { recordedArgument } from "./recorded-argument.ts";
import {
  findSettingName,
  propertyName,
  serverSettings,
  settingEntries,
  settingsOf,
  type ServerValues,
} from "./server-settings.ts";
import type { Report, Role, Setting } from "./setting.ts";
import { nearest } from "./suggest.ts";
import { satisfiedFlags, unsupportedFlags } from "./unsupported.ts";

/** Everything that settings come from. */
export interface ConfigSource {
  /** Texts per flag of the table, in the order of the command line. */
  readonly flags: ReadonlyMap<string, readonly string[]>;
  /** Flags of the command line that are not in the table, with their dashes and without values. */
  readonly unknownFlags: readonly string[];
  readonly env: Environment;
  readonly host: HostFacts;
  /** Cancels reading. */
  readonly signal: AbortSignal;
}

/** What was found, and what is to be said about it. */
export interface GatheredSettings {
  readonly values: ServerValues;
  /** What the config files say, as arguments with secrets masked. */
  readonly fileArguments: readonly string[];
  readonly report: Report;
  /** Filled through `report`, also later: by whoever looks at the values. */
  readonly problems: string[];
  readonly warnings: string[];
}

interface Texts {
  readonly texts: readonly string[];
  /** Where they come from, for messages; empty for the command line. */
  readonly origin: string;
}

/** Flag beats drop-in beats config file beats environment beats default; lists of flags and files add up. */
export async function gatherSettings(role: Role, source: ConfigSource): Promise<GatheredSettings> {
  const problems: string[] = [];
  const warnings: string[] = [];
  const report: Report = (problem) => void problems.push(problem);
  const refused = source.unknownFlags.filter((flag) => !satisfiedFlags.has(bareName(flag)));
  for (const flag of refused) report(describeUnknownFlag(flag, role));

  const warn: Report = (warning) => void warnings.push(warning);
  const files = await readFiles(source, report);
  const fileValues = knownKeys(files, { role, report, warn });
  refuseVariables(source.env, { role, report });

  const values = readTable((name, setting) => collect(name, setting, { ...source, files: fileValues, role }), report);
  const fileArguments = Array.from(fileValues, ([name, texts]) =>
    texts.flatMap((text) => recordedArgument(name, text)),
  );
  return { values, fileArguments: fileArguments.flat(), report, problems, warnings };
}

/** The values of the settings in `names`, from files, flags and variables; the others are as if nobody had set them. */
export async function readSettings(
  source: Pick<ConfigSource, "flags" | "env" | "signal"> & { readonly names: ReadonlySet<string> },
  report: Report,
): Promise<ServerValues> {
  const { names } = source;
  const files = await readFiles(source, report);
  const fileValues = knownKeys(files, { role: "server", report: ignoreProblem, warn: ignoreProblem });
  const nothing: Texts = { texts: [], origin: "" };
  return readTable(
    (name, setting) =>
      names.has(name) ? collect(name, setting, { ...source, files: fileValues, role: "server" }) : nothing,
    report,
  );
}

/** Only the default file may be absent, as in k3s: without the one that was named a node would start as another one. */
async function readFiles(source: Pick<ConfigSource, "flags" | "env" | "signal">, report: Report): Promise<FileValues> {
  const { file, isNamed } = configFileOf(source);
  const values = await readConfigFiles(file, { report, signal: source.signal });
  if (values === undefined && isNamed) throw ConfigError.fileAbsent(file);
  return values ?? new Map();
}

/** The variable goes first here, as in k3s. */
function configFileOf({ env, flags }: Pick<ConfigSource, "env" | "flags">): {
  readonly file: string;
  readonly isNamed: boolean;
} {
  const { config } = serverSettings;
  const named = nonEmpty(env[config.env]) ?? flags.get("config")?.at(-1);
  return { file: named ?? config.read([], ignoreProblem), isNamed: named !== undefined };
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

function describeUnknownFlag(flag: string, role: Role): string {
  const name = bareName(flag);
  const unsupported = unsupportedFlags.get(name);
  if (unsupported !== undefined) return `${flag} is not supported by this version: ${unsupported.reason}`;
  if (findSettingName(name) !== undefined) return `${flag} is a flag of servers: set it there, agents follow`;
  const suggestion = nearest(
    name,
    settingsOf(role).map(([known]) => known),
  );
  return suggestion === undefined
    ? `${flag} is not a flag of k3s ${role}`
    : `${flag} is not a flag of k3s ${role}: did you mean --${suggestion}?`;
}

interface Complaints {
  readonly role: Role;
  readonly report: Report;
  readonly warn: Report;
}

/** Translates spellings to names of the table. What k3s would skip is skipped, but said: one file may serve all roles. */
function knownKeys(files: FileValues, { role, report, warn }: Complaints): FileValues {
  const names = new Set(settingsOf(role).map(([name]) => name));
  const known = new Map<string, readonly string[]>();
  for (const [key, texts] of files) {
    const name = findSettingName(key);
    if (name !== undefined && names.has(name)) known.set(name, [...(known.get(name) ?? []), ...texts]);
    else if (unsupportedFlags.has(key) && texts.some(asksForSomething))
      report(`${describeUnknownFlag(`--${key}`, role)} (in the config file)`);
    else if (!unsupportedFlags.has(key) && !satisfiedFlags.has(key)) {
      warn(`${describeUnknownFlag(`--${key}`, role)} (in the config file, ignored)`);
    }
  }
  return known;
}

/** `selinux: false` asks for nothing that is missing. */
function asksForSomething(text: string): boolean {
  return text !== "" && text !== "false";
}

function refuseVariables(env: Environment, { role, report }: Pick<Complaints, "role" | "report">): void {
  for (const [name, unsupported] of unsupportedFlags) {
    const text = unsupported.env === undefined ? undefined : nonEmpty(env[unsupported.env]);
    if (text !== undefined && asksForSomething(text)) {
      report(`${describeUnknownFlag(`--${name}`, role)} (set by ${unsupported.env ?? ""})`);
    }
  }
}

type Sources = Pick<ConfigSource, "flags" | "env"> & { readonly files: FileValues; readonly role: Role };

function collect(name: string, setting: Setting<unknown>, { flags, files, env, role }: Sources): Texts {
  if (!setting.roles.includes(role)) return { texts: [], origin: "" };
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

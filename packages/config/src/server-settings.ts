import type { Role, Setting } from "./setting.ts";
import { clusterSettings } from "./settings/cluster.ts";
import { datastoreSettings } from "./settings/datastore.ts";
import { joiningSettings } from "./settings/joining.ts";
import { listenerSettings } from "./settings/listener.ts";
import { networkingSettings } from "./settings/networking.ts";
import { nodeSettings } from "./settings/node.ts";

/** The one table of settings. Flags, variables, help, documentation and the type of the configuration come from it. */
export const serverSettings = {
  ...listenerSettings,
  ...datastoreSettings,
  ...networkingSettings,
  ...clusterSettings,
  ...nodeSettings,
  ...joiningSettings,
} as const satisfies Record<string, Setting<unknown>>;

type SettingName = keyof typeof serverSettings;

type Camel<S extends string> = S extends `${infer Head}-${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S;

/** The settings as given or by default, before anything is derived from them. */
export type ServerValues = {
  readonly [Name in SettingName as Camel<Name>]: ReturnType<(typeof serverSettings)[Name]["read"]>;
};

/** The property of {@link ServerValues} that belongs to a flag: `data-dir` becomes `dataDir`. */
export function propertyName(flag: string): string {
  return flag.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}

/** All rows with their names, in the order of the table. */
export const settingEntries: readonly (readonly [string, Setting<unknown>])[] = Object.entries(serverSettings);

/** The rows that a command takes, with the texts of its own help. */
export function settingsOf(role: Role): typeof settingEntries {
  const taken = settingEntries.filter(([, { roles }]) => roles.includes(role));
  return role === "agent" ? taken.map(([name, setting]) => [name, withAgentTexts(setting)] as const) : taken;
}

function withAgentTexts(setting: Setting<unknown>): Setting<unknown> {
  const { fallbackText: _server, ...rest } = setting;
  return setting.agentTexts === undefined ? setting : { ...rest, ...setting.agentTexts };
}

const namesBySpelling = new Map<string, string>(
  settingEntries.flatMap(([name, { short, formerly }]) =>
    [name, short, formerly].flatMap((spelling) => (spelling === undefined ? [] : [[spelling, name] as const])),
  ),
);

/** The name of the setting, of any command, that a flag without dashes or a key of a config file means, in any of its spellings. */
export function findSettingName(spelling: string): string | undefined {
  return namesBySpelling.get(spelling);
}

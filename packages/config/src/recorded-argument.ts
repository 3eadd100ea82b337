import { serverSettings } from "./server-settings.ts";
import type { Setting } from "./setting.ts";

/** What is recorded in place of a secret (k3s' spelling). */
const MASK = "********";

const settings: Readonly<Record<string, Setting<unknown>>> = serverSettings;

/** A setting and one of its texts as two arguments that everybody may see; `name` is that of the table. */
export function recordedArgument(name: string, text: string): readonly [string, string] {
  return [name.length === 1 ? `-${name}` : `--${name}`, settings[name]?.secret === true ? MASK : text];
}

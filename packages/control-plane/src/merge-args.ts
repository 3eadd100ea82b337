/** Flag names without dashes, with the value each gets unless the user says otherwise. */
export type FlagDefaults = Readonly<Record<string, string>>;

type Effect = "replace" | "append" | "prepend";

interface UserArg {
  readonly name: string;
  readonly effect: Effect;
  readonly value: string;
}

/**
 * Joins default flags and the user's `--<component>-arg` values to a list sorted by name, each as `--name=value`.
 *
 * `name=value` replaces the default (a repeated one keeps all of the user's values, in order), `name+=value` adds a
 * flag after the default, `name-=value` one before it; a name alone means `true`. Leading dashes are optional.
 */
export function mergeArgs(defaults: FlagDefaults, userArgs: readonly string[]): string[] {
  const values = new Map<string, string[]>(Object.entries(defaults).map(([name, value]) => [name, [value]]));
  const replaced = new Set<string>();
  for (const arg of userArgs) {
    const { name, effect, value } = parseUserArg(arg);
    const current = values.get(name) ?? [];
    if (effect === "append") values.set(name, [...current, value]);
    else if (effect === "prepend") values.set(name, [value, ...current]);
    else values.set(name, replaced.has(name) ? [...current, value] : [value]);
    if (effect === "replace") replaced.add(name);
  }
  return [...values.keys()].sort().flatMap((name) => (values.get(name) ?? []).map((value) => `--${name}=${value}`));
}

/** Whether the user's arguments set the flag `name`, in whatever form. */
export function userGives(userArgs: readonly string[], name: string): boolean {
  return userArgs.some((arg) => parseUserArg(arg).name === name);
}

/** The user's arguments without those that set the flag `name`, and the values which those had. */
export function takeUserArg(userArgs: readonly string[], name: string): { values: string[]; rest: string[] } {
  const values: string[] = [];
  const rest: string[] = [];
  for (const arg of userArgs) {
    const parsed = parseUserArg(arg);
    if (parsed.name === name) values.push(parsed.value);
    else rest.push(arg);
  }
  return { values, rest };
}

function parseUserArg(arg: string): UserArg {
  const text = arg.replace(/^-{1,2}/, "");
  const equals = text.indexOf("=");
  if (equals === -1) return { name: text, effect: "replace", value: "true" };
  const name = text.slice(0, equals);
  const value = text.slice(equals + 1);
  if (name.endsWith("+")) return { name: name.slice(0, -1), effect: "append", value };
  if (name.endsWith("-")) return { name: name.slice(0, -1), effect: "prepend", value };
  return { name, effect: "replace", value };
}

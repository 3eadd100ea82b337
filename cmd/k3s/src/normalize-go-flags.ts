/**
 * Spellings that Go programs accept: one dash before a long name, `-o=value`. What is the value of a flag stays as it is;
 * `valueFlags` are the names of flags that have one.
 */
export function normalizeGoFlags(args: readonly string[], valueFlags: readonly string[]): readonly string[] {
  const result: string[] = [];
  let isValueNext = false;
  for (const text of args) {
    const flag: Flag | undefined = isValueNext ? undefined : parseFlag(text);
    result.push(...(flag === undefined ? [text] : spellFlag(flag)));
    isValueNext = flag !== undefined && flag.value === undefined && valueFlags.includes(flag.name);
  }
  return result;
}

interface Flag {
  readonly name: string;
  readonly value: string | undefined;
}

function parseFlag(text: string): Flag | undefined {
  const [, name, value] = /^--?([a-z][\w-]*)(?:=(.*))?$/s.exec(text) ?? [];
  return name === undefined ? undefined : { name, value };
}

function spellFlag({ name, value }: Flag): readonly string[] {
  if (name.length === 1) return value === undefined ? [`-${name}`] : [`-${name}`, value];
  return [value === undefined ? `--${name}` : `--${name}=${value}`];
}

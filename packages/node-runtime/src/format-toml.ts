/** A value of TOML as far as containerd's configuration needs them. */
type TomlValue = string | number | boolean | readonly string[];

/** One `[a.b.c]` table; an empty path stands for the top of the file. */
export interface TomlTable {
  readonly path: readonly string[];
  readonly values: Readonly<Record<string, TomlValue>>;
}

/** The tables as TOML 1.0, each after an empty line. */
export function formatToml(tables: readonly TomlTable[]): string {
  return tables.map(formatTable).join("\n");
}

function formatTable({ path, values }: TomlTable): string {
  const header = path.length === 0 ? [] : [`[${path.map(formatKey).join(".")}]`];
  const lines = Object.entries(values).map(([key, value]) => `${formatKey(key)} = ${formatValue(value)}`);
  return [...header, ...lines, ""].join("\n");
}

function formatKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : formatString(key);
}

function formatValue(value: TomlValue): string {
  if (typeof value === "string") return formatString(value);
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return `[${value.map(formatString).join(", ")}]`;
}

/** JSON's escapes are a subset of those of a basic string, but for the one character DEL. */
function formatString(text: string): string {
  return JSON.stringify(text).replaceAll("\u007f", "\\u007f");
}

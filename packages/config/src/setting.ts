/** Headings of `--help` and of docs/flags.md, in the order they are shown. */
export const CATEGORIES = [
  "Config",
  "Logging",
  "Listener",
  "Data",
  "Networking",
  "Client",
  "Cluster",
  "Components",
  "Node",
  "Runtime",
] as const;

export type Category = (typeof CATEGORIES)[number];

/** Which commands take a setting. */
export type Role = "server" | "agent";

/** Takes one mistake, as the end of a sentence that begins with the name of the setting. */
export type Report = (problem: string) => void;

/** One row of the table of settings. Flag, variable, help, documentation and type all come from it. */
export interface Setting<T> {
  readonly kind: "switch" | "value" | "list";
  readonly category: Category;
  readonly roles: readonly Role[];
  /** One letter, for the short spelling of the flag. */
  readonly short?: string;
  /** An older spelling that still works; not shown in help. */
  readonly formerly?: string;
  readonly env: `K3S_${string}`;
  /** What stands for the value in help, such as `PORT`. */
  readonly placeholder?: string;
  readonly help: string;
  /** Whether the value must not be shown to anybody. */
  readonly secret?: true;
  /** The default as help shows it; absent when there is none. */
  readonly fallbackText?: string;
  /** What an agent's help says instead of `help` and `fallbackText`. */
  readonly agentTexts?: SettingTexts;
  /** How the text of the variable becomes the texts of a list. */
  readonly splitVariable: (text: string) => readonly string[];
  /** All texts given, least important first, become the value. No text: the default. Mistakes are reported, not thrown. */
  readonly read: (texts: readonly string[], report: Report) => T;
}

type SettingTexts = Pick<Setting<unknown>, "help" | "fallbackText">;

type Base = SettingTexts &
  Pick<Setting<unknown>, "category" | "env" | "short" | "formerly" | "secret" | "agentTexts"> & {
    readonly roles?: readonly Role[];
  };

interface ValueOptions<T, F> extends Base {
  readonly placeholder: string;
  readonly fallback: F;
  /** Throws RangeError with the end of a sentence, such as `must be a port`. */
  readonly parse: (text: string) => T;
}

interface ListOptions<T> extends Omit<ValueOptions<T, never>, "fallback"> {
  /** Default: commas. Component arguments carry commas of their own and are never split. */
  readonly separator?: "comma" | "none";
}

/** A setting that is on or off. */
export function switchSetting(options: Base & { readonly fallback: boolean }): Setting<boolean> {
  return {
    ...common(options),
    kind: "switch",
    fallbackText: String(options.fallback),
    splitVariable: single,
    read: (texts, report) => readLast(texts, { parse: parseBoolean, fallback: options.fallback }, report),
  };
}

/** A setting with one value; the last text given counts. */
export function valueSetting<T, F>(options: ValueOptions<T, F>): Setting<T | F> {
  return {
    ...common(options),
    kind: "value",
    placeholder: options.placeholder,
    splitVariable: single,
    read: (texts, report) => readLast<T | F>(texts, options, report),
  };
}

/** A setting that may be given many times; every text counts. */
export function listSetting<T>(options: ListOptions<T>): Setting<readonly T[]> {
  const split = options.separator === "none" ? single : splitCommas;
  return {
    ...common(options),
    kind: "list",
    placeholder: options.placeholder,
    splitVariable: options.separator === "none" ? splitSpaces : single,
    read: (texts, report) =>
      texts.flatMap(split).flatMap((text) => {
        const item = attempt(text, options.parse, report);
        return item === undefined ? [] : [item.value];
      }),
  };
}

function common(options: Base) {
  const { category, env, help, short, formerly, fallbackText, secret, agentTexts } = options;
  return {
    category,
    env,
    help,
    roles: options.roles ?? (["server"] as const),
    ...(short === undefined ? {} : { short }),
    ...(formerly === undefined ? {} : { formerly }),
    ...(fallbackText === undefined ? {} : { fallbackText }),
    ...(secret === undefined ? {} : { secret }),
    ...(agentTexts === undefined ? {} : { agentTexts }),
  };
}

function readLast<T>(
  texts: readonly string[],
  options: { readonly parse: (text: string) => T; readonly fallback: T },
  report: Report,
): T {
  const text = texts.at(-1);
  if (text === undefined) return options.fallback;
  const result = attempt(text, options.parse, report);
  return result === undefined ? options.fallback : result.value;
}

function attempt<T>(text: string, parse: (text: string) => T, report: Report): { readonly value: T } | undefined {
  try {
    return { value: parse(text) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    report(error.message);
    return undefined;
  }
}

const TRUE_WORDS = new Set(["true", "1", "t", "yes", "on"]);
const FALSE_WORDS = new Set(["false", "0", "f", "no", "off"]);

function parseBoolean(text: string): boolean {
  const word = text.toLowerCase();
  if (TRUE_WORDS.has(word)) return true;
  if (FALSE_WORDS.has(word)) return false;
  throw new RangeError(`must be true or false: current value is "${text}"`);
}

function single(text: string): readonly string[] {
  return [text];
}

function splitCommas(text: string): readonly string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

function splitSpaces(text: string): readonly string[] {
  return text.split(/\s+/).filter((item) => item !== "");
}

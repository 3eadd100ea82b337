import { parseGoDuration } from "./go-duration.ts";
import { kineFlags, kineVariable, type KineFlag } from "./serve-flags.ts";

const TRUE_WORDS = ["true", "1", "t"];
const FALSE_WORDS = ["false", "0", "f"];

interface Given {
  readonly flags: ReadonlyMap<string, string>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The values of kine's flags, from the command line, the variables and the defaults. Mistakes are reported once. */
export class KineValues {
  readonly #texts = new Map<string, string>();
  readonly #origins = new Map<string, string>();

  constructor({ flags, env }: Given, report: (problem: string) => void) {
    for (const flag of kineFlags) {
      const variable = kineVariable(flag);
      const fromEnv = env[variable] === "" ? undefined : env[variable];
      const text = flags.get(flag.name) ?? fromEnv ?? flag.fallback;
      const problem = findProblem(flag, text);
      const origin = flags.has(flag.name) || fromEnv === undefined ? "" : ` (set by ${variable})`;
      this.#origins.set(flag.name, origin);
      if (problem !== undefined) report(`--${flag.name} ${problem}${origin}`);
      this.#texts.set(flag.name, problem === undefined ? text : flag.fallback);
    }
  }

  text(name: string): string {
    const text = this.#texts.get(name);
    if (text === undefined) throw new Error(`Cannot read flag "${name}": kine has none of that name`);
    return text;
  }

  /** Where a value comes from, to put behind what is wrong with it; empty: from the command line, or the default. */
  origin(name: string): string {
    return this.#origins.get(name) ?? "";
  }

  textOrNothing(name: string): string | undefined {
    return this.text(name) === "" ? undefined : this.text(name);
  }

  isOn(name: string): boolean {
    return TRUE_WORDS.includes(this.text(name).toLowerCase());
  }

  number(name: string): number {
    return Number(this.text(name));
  }

  /** In milliseconds. */
  duration(name: string): number {
    return parseGoDuration(this.text(name)) ?? 0;
  }

  /** Whether somebody asked for something else than the default. */
  differs(name: string): boolean {
    const fallback = kineFlags.find((flag) => flag.name === name)?.fallback;
    if (fallback === "false") return this.isOn(name);
    return this.text(name) !== fallback;
  }
}

function findProblem(flag: KineFlag, text: string): string | undefined {
  const problem = findMistake(flag, text);
  if (problem === undefined || flag.secret === true) return problem;
  return `${problem}: current value is "${text}"`;
}

function findMistake({ kind, values, isNatural }: KineFlag, text: string): string | undefined {
  if (kind === "duration") {
    const durationMs = parseGoDuration(text);
    if (durationMs === undefined) return "must be a duration such as 30s or 5m";
    if (durationMs < 0) return "must not be negative";
  }
  if (kind === "number" && !/^-?\d{1,12}$/.test(text)) return "must be a whole number";
  if (isNatural === true && Number(text) < 0) return "must not be negative";
  if (kind === "switch" && ![...TRUE_WORDS, ...FALSE_WORDS].includes(text.toLowerCase()))
    return "must be true or false";
  if (values?.includes(text) === false) return `must be ${values.join(" or ")}`;
  return undefined;
}

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

  constructor({ flags, env }: Given, report: (problem: string) => void) {
    for (const flag of kineFlags) {
      const variable = kineVariable(flag);
      const fromEnv = env[variable] === "" ? undefined : env[variable];
      const text = flags.get(flag.name) ?? fromEnv ?? flag.fallback;
      const problem = findProblem(flag, text);
      const origin = flags.has(flag.name) || fromEnv === undefined ? "" : ` (set by ${variable})`;
      if (problem !== undefined) report(`--${flag.name} ${problem}${origin}`);
      this.#texts.set(flag.name, problem === undefined ? text : flag.fallback);
    }
  }

  text(name: string): string {
    const text = this.#texts.get(name);
    if (text === undefined) throw new Error(`Cannot read flag "${name}": kine has none of that name`);
    return text;
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

function findProblem({ kind, secret, values }: KineFlag, text: string): string | undefined {
  const current = secret === true ? "" : `: current value is "${text}"`;
  if (kind === "duration") {
    const durationMs = parseGoDuration(text);
    if (durationMs === undefined) return `must be a duration such as 30s or 5m${current}`;
    if (durationMs < 0) return `must not be negative${current}`;
  }
  if (kind === "number" && !/^-?\d{1,12}$/.test(text)) return `must be a whole number${current}`;
  if (kind === "switch" && ![...TRUE_WORDS, ...FALSE_WORDS].includes(text.toLowerCase()))
    return `must be true or false${current}`;
  if (values?.includes(text) === false) return `must be ${values.join(" or ")}${current}`;
  return undefined;
}

const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const PART = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;

/** Reads a duration of Go, such as `1h30m`, in milliseconds; undefined when it is something else. */
export function parseDuration(text: string): number | undefined {
  const [, sign = "", rest = ""] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (rest === "0") return 0;
  if (rest === "") return undefined;
  const part = new RegExp(PART);
  let total = 0;
  while (part.lastIndex < rest.length) {
    const [, number, unit = ""] = part.exec(rest) ?? [];
    if (number === undefined) return undefined;
    total += Number(number) * (UNITS[unit] ?? Number.NaN);
  }
  return sign === "-" ? -total : total;
}

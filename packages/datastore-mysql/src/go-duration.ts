const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3, // U+00B5, the micro sign
  μs: 1e-3, // U+03BC, the Greek letter
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a duration as Go's time.ParseDuration reads it (`1h15m30.5s`); undefined when it is none. */
export function parseGoDuration(text: string): number | undefined {
  const match = /^(?<sign>[+-]?)(?<rest>.+)$/su.exec(text)?.groups;
  if (match === undefined) return undefined;
  const { sign = "", rest = "" } = match;
  if (rest === "0") return 0;
  const part = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/uy;
  let total = 0;
  for (let end = 0; end < rest.length; end = part.lastIndex) {
    const [, number = "", unit = ""] = part.exec(rest) ?? [];
    const unitMs = UNIT_MS[unit];
    if (unitMs === undefined) return undefined;
    total += Number(number) * unitMs;
  }
  return sign === "-" ? -total : total;
}

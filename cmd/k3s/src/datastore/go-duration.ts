const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a duration in Go's spelling, such as `1m30s`; undefined when it is none. */
export function parseGoDuration(text: string): number | undefined {
  const [, sign = "", rest = ""] = /^([-+]?)(.*)$/s.exec(text) ?? [];
  if (rest === "0") return 0;
  if (!/^(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$/.test(rest)) return undefined;
  let total = 0;
  for (const [, number = "", unit = ""] of rest.matchAll(/([\d.]+)([a-zµ]+)/g))
    total += Number(number) * (UNIT_MS[unit] ?? 0);
  return sign === "-" ? -total : total;
}

import { parseArgs } from "node:util";
import { TARGET_NAMES, type TargetName } from "./target.ts";

const PARTS = ["perf", "calls", "scale", "kine", "transport", "shared", "outage"] as const;
type Part = (typeof PARTS)[number];

/** As `etcdctl check perf --load` takes them. */
const LOADS = ["s", "m", "l", "xl"] as const;
export type LoadName = (typeof LOADS)[number];

/** What `--help` shows. */
export const USAGE = `Usage: node bench/datastore.ts [options]

  --targets  whom to measure: ${TARGET_NAMES.join(",")}
  --only     parts to run: ${PARTS.join(",")}
  --keys     sizes for calls, scale and kine (default: 100000; at least 1000)
  --loads    loads for perf: ${LOADS.join(",")} (default: l)
  --rounds   all of it so many times, medians are shown (default: 1)

Ours is put in relation to etcd, and on SQLite to kine's SQL statements as well: replayed on a table of the same form and content
in a file of the same kind, they are what kine needs at least for the same work. Ratios of rates are better above 1, those of
times below. See bench/README.md.
`;

export interface BenchOptions {
  readonly targets: readonly TargetName[];
  readonly parts: readonly Part[];
  readonly loads: readonly LoadName[];
  /** Sizes of the datastores of `calls` and `scale`. */
  readonly keys: readonly number[];
  readonly rounds: number;
}

/** "help" when that is asked for. Throws an Error that names the wrong option. */
export function parseBenchOptions(args: readonly string[]): BenchOptions | "help" {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: "boolean", default: false },
      targets: { type: "string", default: TARGET_NAMES.join(",") },
      only: { type: "string", default: PARTS.join(",") },
      loads: { type: "string", default: "l" },
      keys: { type: "string", default: "100000" },
      rounds: { type: "string", default: "1" },
    },
  });
  if (values.help) return "help";
  return {
    targets: listOf("targets", values.targets, TARGET_NAMES),
    parts: listOf("only", values.only, PARTS),
    loads: listOf("loads", values.loads, LOADS),
    keys: values.keys.split(",").map((text) => wholeNumber("keys", text, 1000)),
    rounds: wholeNumber("rounds", values.rounds, 1),
  };
}

function listOf<T extends string>(option: string, text: string, known: readonly T[]): readonly T[] {
  return text.split(",").map((name) => {
    const found = known.find((one) => one === name);
    if (found === undefined) throw new Error(`Cannot use --${option} "${name}": it is none of ${known.join(", ")}`);
    return found;
  });
}

function wholeNumber(option: string, text: string, least: number): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < least)
    throw new Error(`Cannot use --${option} "${text}": it is not a whole number from ${least}`);
  return value;
}

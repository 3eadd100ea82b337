// Checks a server for as long as one likes: node test/consistency/run.ts --help
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { checkRound, formatFinding, type Target } from "./campaign.ts";
import { detectTraits } from "./detect-traits.ts";
import { ownTraits } from "./history/endpoint-traits.ts";
import { UnreliableDisk } from "./power-cut/unreliable-disk.ts";
import { killAtFailpoints, killAtRandom, type HarmOptions } from "./servers/harm.ts";
import { ServerProcess } from "./servers/server-process.ts";
import { Random } from "./traffic/random.ts";

const HELP = `Sends traffic to an etcd v3 server and checks every promise of etcd.

  node test/consistency/run.ts [options]

  --endpoint HOST:PORT   a server that nobody else writes to; its history is compacted.
                         Without it: our own store on SQLite, in a process of its own
  --revision-step STEP   per-txn or per-write; found out by default  (with --endpoint)
  --faults LIST          of kill, failpoints, power-cut; one of them in each round,
                         none by default                             (without --endpoint)
  --minutes N            1 by default
  --seed N               of the first round; each further round has the next one
  --report FILE          where a violation is written; consistency-<seed>.txt by default
`;

const LEASES_EVERY_ROUNDS = 5;
const DEATHS_PER_ROUND = 4;

const faults = {
  kill: ({ server, random, times }: HarmOptions) => killAtRandom({ server, random, times }),
  failpoints: ({ server, random, times }: HarmOptions) => killAtFailpoints({ server, random, times }),
  "power-cut": killAtRandom,
} as const;
type Fault = keyof typeof faults;

const { values: options } = parseArgs({
  options: {
    endpoint: { type: "string" },
    "revision-step": { type: "string" },
    faults: { type: "string", default: "" },
    minutes: { type: "string", default: "1" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    report: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

if (options.help) process.stdout.write(HELP);
else process.exitCode = (await run()) ? 0 : 1;

async function run(): Promise<boolean> {
  const [firstSeed, minutes] = [Number(options.seed), Number(options.minutes)];
  if (!Number.isSafeInteger(firstSeed) || !(minutes > 0))
    throw new Error("Cannot run: --seed must be a whole number and --minutes a positive one");
  await using stack = new AsyncDisposableStack();
  const checked = options.endpoint === undefined ? await ownServer(stack) : await foreignServer(options.endpoint);
  const endsAt = performance.now() + minutes * 60_000;
  for (let seed = firstSeed; performance.now() < endsAt; seed++) {
    const shortLeases = seed % LEASES_EVERY_ROUNDS === 0;
    const startedAt = performance.now();
    const finding = await checkRound(checked.target, seed, { shortLeases, ...checked.harm(seed) });
    const { operations, sessions } = finding.history;
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    process.stdout.write(`seed ${seed}: ${operations.length} operations, ${sessions.length} watches, ${seconds} s\n`);
    if (finding.violations.length === 0) continue;
    const report = options.report ?? `consistency-${seed}.txt`;
    await writeFile(report, formatFinding(finding));
    process.stdout.write(`${finding.violations.length} violations, see ${report}\n`);
    return false;
  }
  process.stdout.write("no violation\n");
  return true;
}

interface Checked {
  readonly target: Target;
  readonly harm: (seed: number) => { readonly harm?: () => Promise<void> };
}

async function foreignServer(endpoint: string): Promise<Checked> {
  const step = options["revision-step"];
  if (step !== undefined && step !== "per-txn" && step !== "per-write")
    throw new Error(`Cannot run: --revision-step "${step}" is neither per-txn nor per-write`);
  if (options.faults !== "") throw new Error("Cannot run: --faults needs a server that is started here");
  const traits = await detectTraits(endpoint);
  return {
    target: { target: endpoint, traits: { ...traits, revisionStep: step ?? traits.revisionStep } },
    harm: () => ({}),
  };
}

async function ownServer(stack: AsyncDisposableStack): Promise<Checked> {
  const chosen = options.faults.split(",").filter((name) => name !== "");
  const unknown = chosen.find((name) => !(name in faults));
  if (unknown !== undefined) throw new Error(`Cannot run: there is no fault "${unknown}"`);
  const disk = stack.use(await UnreliableDisk.create({ lies: false }));
  const server = stack.use(new ServerProcess({ folder: disk.folder, environment: disk.environment }));
  await server.start();
  const traits = chosen.length === 0 ? ownTraits : ({ ...ownTraits, versions: "lost-by-restart" } as const);
  const harm = (seed: number) => {
    const fault = chosen[seed % chosen.length] as Fault | undefined; // sound: all of them were looked up
    if (fault === undefined) return {};
    return { harm: () => faults[fault]({ server, disk, random: new Random(seed), times: DEATHS_PER_ROUND }) };
  };
  return { target: { target: server.target, traits }, harm };
}

// Checks a server for as long as one likes: node test/consistency/run.ts --help
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { checkRound, formatFinding, type Target } from "./campaign.ts";
import { detectTraits } from "./detect-traits.ts";
import { startSystem, systemNames, type Harm } from "./servers/system.ts";
import { Random } from "./traffic/random.ts";

const HELP = `Sends traffic to an etcd v3 server and checks every promise of etcd.

  node test/consistency/run.ts [options]

  --datastore NAME       ${systemNames.join(", ")}: our own server on such a database, or a real etcd.
                         The database is started here and harm is done to it. sqlite by default
  --servers N            of ours on one database; 2 by default, SQLite takes only one
  --faults LIST          kill, failpoints: the end of one of our servers; power-cut: SQLite only;
                         restart, freeze: of the database; cut: of connections to it.
                         One of them in each round, and a round without. All by default
  --endpoint HOST:PORT   instead: a server that nobody else writes to; its history is compacted
  --revision-step STEP   per-txn or per-write; found out by default     (with --endpoint)
  --minutes N            1 by default
  --seed N               of the first round; each further round has the next one
  --report FILE          where a violation is written; consistency-<seed>.txt by default;
                         the whole history beside it as JSON
`;

const LEASES_EVERY_ROUNDS = 5;
const HARMS_PER_ROUND = 4;

const { values: options } = parseArgs({
  options: {
    datastore: { type: "string", default: "sqlite" },
    servers: { type: "string", default: "2" },
    endpoint: { type: "string" },
    "revision-step": { type: "string" },
    faults: { type: "string" },
    minutes: { type: "string", default: "1" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    report: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

if (options.help) process.stdout.write(HELP);
else process.exitCode = (await run()) ? 0 : 1;

interface Checked {
  readonly target: Target;
  readonly harms: readonly { readonly name: string; readonly harm: Harm | undefined }[];
  readonly assertRunning: () => void;
}

async function run(): Promise<boolean> {
  const [firstSeed, minutes] = [Number(options.seed), Number(options.minutes)];
  if (!Number.isSafeInteger(firstSeed) || !(minutes > 0))
    throw new Error("Cannot run: --seed must be a whole number and --minutes a positive one");
  await using stack = new AsyncDisposableStack();
  const checked = options.endpoint === undefined ? await ownSystem(stack) : await foreignServer(options.endpoint);
  const endsAt = performance.now() + minutes * 60_000;
  const totals = { rounds: 0, operations: 0, watches: 0 };
  const harmed = new Map<string, number>();
  for (let seed = firstSeed; performance.now() < endsAt; seed++) {
    const { name, harm } = checked.harms[seed % checked.harms.length] ?? { name: "none", harm: undefined };
    const { operations, watches, isKept } = await round({ checked, seed, name, harm });
    totals.rounds++;
    totals.operations += operations;
    totals.watches += watches;
    harmed.set(name, (harmed.get(name) ?? 0) + HARMS_PER_ROUND * (harm === undefined ? 0 : 1));
    if (!isKept) return false;
  }
  const { rounds, operations, watches } = totals;
  const harms = [...harmed].filter(([, times]) => times > 0).map(([name, times]) => `${name} ${times}`);
  process.stdout.write(`no violation in ${rounds} rounds, ${operations} operations, ${watches} watches\n`);
  if (harms.length > 0) process.stdout.write(`harm done, times: ${harms.join(", ")}\n`);
  return true;
}

interface Round {
  readonly checked: Checked;
  readonly seed: number;
  readonly name: string;
  readonly harm: Harm | undefined;
}

async function round({ checked, seed, name, harm }: Round) {
  const startedAt = performance.now();
  const shortLeases = seed % LEASES_EVERY_ROUNDS === 0;
  const random = new Random(seed);
  const how = harm === undefined ? {} : { harm: () => harm({ random, times: HARMS_PER_ROUND }) };
  const finding = await checkRound(checked.target, seed, { shortLeases, ...how });
  checked.assertRunning();
  const { operations, sessions } = finding.history;
  const unknown = operations.filter(({ outcome }) => outcome.kind === "unknown").length;
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const counts = `${operations.length} operations (${unknown} unanswered), ${sessions.length} watches, ${seconds} s`;
  process.stdout.write(`seed ${seed}, ${name}: ${counts}\n`);
  const isKept = finding.violations.length === 0;
  if (!isKept) {
    const report = options.report ?? `consistency-${seed}.txt`;
    await writeFile(report, formatFinding(finding));
    await writeFile(`${report}.json`, JSON.stringify(finding.history));
    process.stdout.write(`${finding.violations.length} violations, see ${report}\n`);
  }
  return { operations: operations.length, watches: sessions.length, isKept };
}

async function foreignServer(endpoint: string): Promise<Checked> {
  const step = options["revision-step"];
  if (step !== undefined && step !== "per-txn" && step !== "per-write")
    throw new Error(`Cannot run: --revision-step "${step}" is neither per-txn nor per-write`);
  if (options.faults !== undefined) throw new Error("Cannot run: --faults needs a server that is started here");
  const traits = await detectTraits(endpoint);
  return {
    target: { targets: [endpoint], traits: { ...traits, revisionStep: step ?? traits.revisionStep } },
    ...{ harms: [], assertRunning: () => undefined },
  };
}

async function ownSystem(stack: AsyncDisposableStack): Promise<Checked> {
  const name = systemNames.find((known) => known === options.datastore);
  if (name === undefined) throw new Error(`Cannot run: there is no datastore "${options.datastore}"`);
  const servers = Number(options.servers);
  if (!Number.isSafeInteger(servers) || servers < 1) throw new Error("Cannot run: --servers must be a positive number");
  const system = stack.use(await startSystem(name, servers));
  const chosen = options.faults?.split(",").filter((fault) => fault !== "") ?? Object.keys(system.harms);
  const harms = chosen.map((fault) => {
    const harm = system.harms[fault];
    if (harm === undefined) throw new Error(`Cannot run: there is no fault "${fault}" for ${name}`);
    return { name: fault, harm };
  });
  return {
    target: { targets: system.targets, traits: system.traits },
    harms: [{ name: "none", harm: undefined }, ...harms],
    assertRunning: () => system.assertRunning(),
  };
}

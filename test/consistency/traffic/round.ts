import { sleep } from "@k3s/async";
import type { EndpointTraits } from "../history/endpoint-traits.ts";
import type { History } from "../history/history.ts";
import type { Span } from "../history/operation.ts";
import { Recorder } from "../history/recorder.ts";
import type { Snapshot } from "../model/state.ts";
import { MUST_ATTEMPTS, TrafficClient } from "./client.ts";
import { EtcdTraffic } from "./etcd.ts";
import { EVERYTHING, keyIn, spans } from "./keyspace.ts";
import { KubernetesTraffic } from "./kubernetes.ts";
import { Leases, SHORT_TTL_SECONDS } from "./lease-pool.ts";
import { Random } from "./random.ts";
import type { Targets } from "./targets.ts";
import { Watcher } from "./watcher.ts";

const SETTLE_MS = 100;
/** For what is still on its way when a wait begins. */
const SETTLED_MS = 1000;
const BEGIN_ATTEMPTS = 5;

export interface RoundOptions {
  /** As gRPC names them: servers of one database, or one. They must not have other clients that write. */
  readonly targets: Targets;
  readonly seed: number;
  readonly kubernetesClients: number;
  readonly etcdClients: number;
  readonly watchers: number;
  /** Requests or short sequences of them that each client sends. */
  readonly stepsPerClient: number;
  /** Whether some leases are left to end by themselves; that takes seconds. */
  readonly shortLeases: boolean;
  readonly leasePatienceMs: number;
  /** How long the watches may take to tell the last change. */
  readonly drainLimitMs: number;
  readonly traits: EndpointTraits;
  /** Does harm to the server; the clients go on until it is over, whatever their number of steps. */
  readonly harm?: (signal: AbortSignal) => Promise<void>;
  /** Writes to the same data on a way of its own, until the round's clients are done. */
  readonly guest?: Guest;
}

/** A client of the database instead of the server. The revisions it uses up without a change are holes to the servers. */
export interface Guest {
  /** Notes what it wrote. Resolves soon after `over`. */
  run(recorder: Recorder, over: AbortSignal): Promise<void>;
  /** Waits until it has seen everything up to this revision itself. */
  settle(revision: number): Promise<void>;
}

/** Sends one round of traffic to a server and notes all that its clients see. */
export async function runRound(options: RoundOptions): Promise<History> {
  using stack = new DisposableStack();
  const recorder = new Recorder();
  const random = new Random(options.seed);
  const main = stack.use(new TrafficClient("main", options.targets[0], recorder));
  const initial = await begin(main, recorder);
  await allHear(options.targets, recorder);
  const watchers = startWatchers(options, { recorder, random, startRevision: initial.revision + 1 });
  for (const { watcher } of watchers) stack.use(watcher);
  const leases = new Leases({ withShort: options.shortLeases, firstId: leaseIdFrom(options.seed) });
  await sendTraffic(options, { recorder, random, leases });
  await leases.revokeLong(main);
  if (options.shortLeases) await untilLeasesEnded(main, recorder, options.leasePatienceMs);
  const goals = await writeGoals(main);
  await Promise.all(watchers.map(({ watcher }) => watcher.reach((span) => goals.get(span) ?? 0, options.drainLimitMs)));
  const { revision } = await main.mustRange(EVERYTHING);
  stack.dispose();
  await Promise.all(watchers.map(({ done }) => done));
  await options.guest?.settle(revision);
  const { operations, sessions } = recorder;
  return { initial, operations, sessions, leasePatienceMs: options.leasePatienceMs };
}

/** Compacts, so that it is known how far back the server can answer, and reads all that is there. */
async function begin(main: TrafficClient, recorder: Recorder): Promise<Snapshot> {
  for (let attempt = 0; attempt < BEGIN_ATTEMPTS; attempt++) {
    const { revision } = await main.mustRange(EVERYTHING);
    await main.perform({ kind: "compact", revision });
    const { kvs, revision: current } = await main.mustRange(EVERYTHING);
    recorder.operations.splice(0);
    if (current === revision) return { revision, compacted: revision, kvs };
  }
  throw new Error("Cannot begin round: somebody else writes to the server");
}

/** Waits until every server has read what is there: one that is behind would tell a watch of what was before the round. */
async function allHear(targets: RoundOptions["targets"], recorder: Recorder): Promise<void> {
  for (const target of targets) {
    using client = new TrafficClient("main", target, recorder);
    await client.mustRange(EVERYTHING);
  }
  recorder.operations.splice(0);
}

/** Positive, and different for neighbouring seeds, so that rounds on one server do not meet each other's leases. */
function leaseIdFrom(seed: number): number {
  return ((seed % 1_000_000) + 1) * 10_000;
}

interface RoundParts {
  readonly recorder: Recorder;
  readonly random: Random;
}

interface RunningWatcher {
  readonly watcher: Watcher;
  readonly done: Promise<void>;
}

/** The first one of each server watches everything and holds on; the others follow a few spans each, and most of them are restless. */
function startWatchers(
  { targets, watchers, traits }: RoundOptions,
  { recorder, random, startRevision }: RoundParts & { readonly startRevision: number },
): RunningWatcher[] {
  return Array.from({ length: watchers }, (_, index) => {
    const own = random.fork(index);
    const watched: readonly Span[] =
      index < targets.length ? [EVERYTHING] : own.shuffled(spans).slice(0, 1 + own.below(3));
    const watcher = new Watcher({
      ...{
        name: `watcher${index}`,
        targets: from(targets, index),
        recorder,
        random: own,
        spans: watched,
        startRevision,
      },
      ...{ isRestless: index > targets.length, asksProgress: traits.answersProgress },
    });
    return { watcher, done: watcher.run() };
  });
}

async function sendTraffic(options: RoundOptions, parts: RoundParts & { readonly leases: Leases }): Promise<void> {
  const { targets, kubernetesClients, etcdClients, stepsPerClient, harm, guest, traits } = options;
  const { recorder, random, leases } = parts;
  const over = new AbortController();
  const runClient = async (kind: "kubernetes" | "etcd", index: number): Promise<void> => {
    using client = new TrafficClient(`${kind}${index}`, from(targets, index)[0], recorder);
    const own = random.fork(1000 + index);
    const traffic =
      kind === "kubernetes"
        ? new KubernetesTraffic(client, own, leases)
        : new EtcdTraffic(client, own, {
            leases,
            usesVersions: traits.versions === "exact",
            pastInTxns: traits.pastInTxns,
          });
    const isDone = (step: number) => (harm === undefined ? step >= stepsPerClient : over.signal.aborted);
    for (let step = 0; !isDone(step); step++) await traffic.step();
  };
  const clients = [
    ...Array.from({ length: kubernetesClients }, (_, index) => runClient("kubernetes", index)),
    ...Array.from({ length: etcdClients }, (_, index) => runClient("etcd", kubernetesClients + index)),
  ];
  const harmed = harm?.(over.signal).finally(() => over.abort());
  const done = new AbortController();
  const visited = guest?.run(recorder, done.signal);
  const settled = Promise.allSettled([harmed, ...clients]).finally(() => done.abort());
  const outcomes = [...(await settled), ...(await Promise.allSettled([visited]))]; // nobody goes on when the round is over
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed !== undefined) throw new Error(`Cannot finish round: ${String(failed.reason)}`, { cause: failed.reason });
}

/** The same targets, each in turn the first. */
function from(targets: Targets, index: number): Targets {
  const start = index % targets.length;
  const [first = targets[0], ...others] = [...targets.slice(start), ...targets.slice(0, start)];
  return [first, ...others];
}

/** Reads until no key has a lease, or for as long as patience lasts after the last of them had to end. */
async function untilLeasesEnded(main: TrafficClient, recorder: Recorder, patienceMs: number): Promise<void> {
  // The last renewal may have been a moment ago: only what is there after its term and the patience is there too long.
  const givesUpAt = recorder.now() + SHORT_TTL_SECONDS * 1000 + patienceMs + SETTLED_MS;
  for (;;) {
    const { kvs } = await main.mustRange(EVERYTHING);
    if (kvs.every(({ lease }) => lease === 0) || recorder.now() > givesUpAt) return;
    await sleep(SETTLE_MS);
  }
}

/** Writes one key into each span that can be watched; answers the revision that its watches have to reach. */
async function writeGoals(main: TrafficClient): Promise<ReadonlyMap<Span, number>> {
  const goals = new Map<Span, number>();
  for (const span of spans) {
    const { response } = await mustPut(main, keyIn(span));
    goals.set(span, response.revision);
  }
  return goals;
}

async function mustPut(
  main: TrafficClient,
  key: string,
): Promise<{ readonly response: { readonly revision: number } }> {
  for (let attempt = 0; attempt < MUST_ATTEMPTS; attempt++) {
    const outcome = await main.perform({ kind: "put", key, value: main.nextValue() });
    if (outcome.kind === "ok") return outcome;
  }
  throw new Error(`Cannot write ${JSON.stringify(key)}: the server refuses`);
}

import { checkHistory } from "./check/check-history.ts";
import type { Violation } from "./check/violation.ts";
import type { EndpointTraits } from "./history/endpoint-traits.ts";
import type { History } from "./history/history.ts";
import { runRound, type RoundOptions } from "./traffic/round.ts";
import type { Targets } from "./traffic/targets.ts";

/** A second or two of traffic on an idle machine. */
const SHORT_ROUND = {
  kubernetesClients: 4,
  etcdClients: 4,
  watchers: 5,
  stepsPerClient: 40,
  shortLeases: false,
  leasePatienceMs: 30_000,
  drainLimitMs: 20_000,
} as const satisfies Partial<RoundOptions>;

export interface Target {
  /** Nobody else may write there. */
  readonly targets: Targets;
  readonly traits: EndpointTraits;
}

/** What one round brought to light. */
export interface Finding {
  readonly seed: number;
  readonly history: History;
  readonly violations: readonly Violation[];
}

/** One round of traffic and its verdict. */
export async function checkRound(target: Target, seed: number, changes: Partial<RoundOptions> = {}): Promise<Finding> {
  const history = await runRound({ ...SHORT_ROUND, ...target, seed, ...changes });
  return { seed, history, violations: checkHistory(history, target.traits) };
}

/** The finding as a person reads it: each kind of violation with the part of the history that shows it. */
export function formatFinding({ seed, history, violations }: Finding): string {
  const { operations, sessions } = history;
  const kinds = Map.groupBy(violations, ({ promise }) => promise);
  const lines = [`seed ${seed}: ${operations.length} operations, ${sessions.length} watches`];
  for (const [promise, found] of kinds) {
    lines.push(`${promise}: ${found.length} times`);
    const [first] = found;
    if (first !== undefined) lines.push(`  ${first.text}`, ...first.details.map((detail) => `    ${detail}`));
  }
  return `${lines.join("\n")}\n`;
}

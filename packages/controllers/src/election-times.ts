/** How long a leader is one without saying so again, and how often that is asked and said. */
export interface ElectionTimes {
  /** Others take over when nothing was heard for so long. */
  readonly leaseMs: number;
  /** A leader that could not say so for so long has stopped leading, before others may begin. */
  readonly renewMs: number;
  readonly retryMs: number;
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
/** Of client-go: an attempt is made at least once within the deadline. */
const JITTER = 1.2;

/** Those of k3s for `kube-system/k3s`. */
export const K3S_TIMES: ElectionTimes = { leaseMs: 45_000, renewMs: 30_000, retryMs: 2_000 };
/** Those of Kubernetes' own programs. */
export const KUBERNETES_TIMES: ElectionTimes = { leaseMs: 15_000, renewMs: 10_000, retryMs: 2_000 };

/** k3s' times, or those of its three variables (durations as Go writes them); undefined when those contradict each other. */
export function electionTimes(env: Readonly<Record<string, string | undefined>>): ElectionTimes | undefined {
  const of = (name: string, fallbackMs: number) => {
    const text = env[`CATTLE_ELECTION_${name}`];
    return text === undefined ? fallbackMs : durationMs(text);
  };
  const leaseMs = of("LEASE_DURATION", K3S_TIMES.leaseMs);
  const renewMs = of("RENEW_DEADLINE", K3S_TIMES.renewMs);
  const retryMs = of("RETRY_PERIOD", K3S_TIMES.retryMs);
  if (leaseMs === undefined || renewMs === undefined || retryMs === undefined) return undefined;
  return leaseMs > renewMs && renewMs > retryMs * JITTER && leaseMs >= 1_000
    ? { leaseMs, renewMs, retryMs }
    : undefined;
}

function durationMs(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/([\d.]+)(ms|s|m|h)/g)];
  const sum = parts.reduce((total, [, count, unit = ""]) => total + Number(count) * (UNITS_MS[unit] ?? 0), 0);
  return sum > 0 ? sum : undefined;
}

import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";

/** The bundle of the product replaces it by `false`; then nothing is left of the calls. */
declare const K3S_FAILPOINTS: boolean | undefined;

/** What happens at a failpoint: the process is gone as by SIGKILL, or the code there sees an error, once. */
export interface FailpointAction {
  readonly kind: "crash" | "throw";
  /** Which pass strikes, counted from 1 in each thread. */
  readonly atHit: number;
}

type Plan = Readonly<Record<string, FailpointAction>>;

const KEY = "k3s.failpoints";
const hits = new Map<string, number>();

/** Makes this process fail at points of these names: in this thread, and in worker threads that start from now on. */
export function armFailpoints(plan: Plan): void {
  hits.clear();
  setEnvironmentData(KEY, plan);
}

/** A point at which tests may let the process fail. One line where it stands, and free of cost in a release. */
export function failpoint(name: string): void {
  if (typeof K3S_FAILPOINTS === "undefined" || K3S_FAILPOINTS) strike(name);
}

function strike(name: string): void {
  const plan = getEnvironmentData(KEY) as Plan | undefined; // sound: only armFailpoints() writes it
  const action = plan?.[name];
  if (action === undefined) return;
  const hit = (hits.get(name) ?? 0) + 1;
  hits.set(name, hit);
  if (hit !== action.atHit) return;
  if (action.kind === "throw") throw new Error(`Cannot go on: failpoint "${name}"`);
  process.kill(process.pid, "SIGKILL");
}

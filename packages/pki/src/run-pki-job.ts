import { once } from "node:events";
import { startWorker } from "@k3s/async";
import type { ErrorCode } from "@k3s/errors";
import { PkiError } from "./errors.ts";
import type { PkiAnswer, PkiJob, PkiJobs } from "./pki-jobs.ts";

/**
 * Runs one job in a worker thread of its own, which ends with it, so that neither its time nor its memory burdens us.
 * Rejects with the job's PkiError.
 */
export async function runPkiJob<Name extends keyof PkiJobs>(
  name: Name,
  input: Parameters<PkiJobs[Name]>[0],
): Promise<Awaited<ReturnType<PkiJobs[Name]>>> {
  const workerData: PkiJob = { name, input };
  const worker = startWorker("pki-worker", import.meta.url, { workerData, name: "pki" });
  const exited = once(worker, "exit");
  // once() rejects on "error"; an exit without an answer is a bug of ours.
  const answer = await Promise.race([
    once(worker, "message").then(([message]) => message as PkiAnswer),
    exited.then(() => undefined),
  ]);
  await exited;
  if (answer === undefined) throw new Error(`Cannot run PKI job "${name}": its thread ended without an answer`);
  // Sound: the worker answers with the result of exactly this job.
  if (answer.ok) return answer.result as Awaited<ReturnType<PkiJobs[Name]>>;
  if (answer.code === undefined) throw new Error(answer.message);
  throw new PkiError(answer.code as ErrorCode, answer.message, answer.hint === undefined ? {} : { hint: answer.hint });
}

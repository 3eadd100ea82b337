import { parentPort, workerData } from "node:worker_threads";
import { describeError, NodeError } from "@k3s/errors";
import { pkiJobs, type PkiAnswer, type PkiJob } from "./pki-jobs.ts";

void answer(workerData as PkiJob).then((message) => parentPort?.postMessage(message)); // answer() never rejects

async function answer({ name, input }: PkiJob): Promise<PkiAnswer> {
  try {
    // Sound: runPkiJob() accepts only the input that belongs to the name.
    const job = pkiJobs[name] as (input: unknown) => Promise<unknown>;
    return { ok: true, result: await job(input) };
  } catch (error) {
    if (!(error instanceof NodeError)) return { ok: false, code: undefined, message: describeError(error) };
    const { code, message, hint } = error;
    return { ok: false, code, message, ...(hint === undefined ? {} : { hint }) };
  }
}

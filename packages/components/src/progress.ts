/** One report about a long piece of work. The last report of a step has `finished`. */
export interface ProgressEvent {
  /** What is being done, e.g. `Compile Kubernetes 1.20.2`; the same text in every report of the step. */
  readonly step: string;
  readonly done?: number;
  readonly total?: number;
  readonly unit?: "bytes" | "packages";
  readonly finished?: boolean;
  /** A remark to show once: why something is waited for or done again. */
  readonly note?: string;
}

/** Takes reports; called often, so it decides itself what to show. */
export type Progress = (event: ProgressEvent) => void;

/** Reports begin and end of `work` as one step. A failure ends the step without `finished`. */
export async function inStep<T>(progress: Progress, step: string, work: () => Promise<T>): Promise<T> {
  progress({ step });
  const result = await work();
  progress({ step, finished: true });
  return result;
}

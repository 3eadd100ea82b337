// Makes the load as a process of its own, so that neither its memory nor its work is that of what collects the figures.
import { answerQuestions } from "./datastore/answer-questions.ts";
import { eventLag } from "./datastore/event-lag.ts";
import { WARM_CALLS, type Job } from "./datastore/jobs.ts";
import { percentiles, type Figures } from "./datastore/load.ts";
import { RawClient } from "./datastore/raw-client.ts";
import { Subject } from "./datastore/workloads.ts";
import { RawGrpcClient } from "./raw-grpc-client.ts";

const NOTHING: Figures = { perSecond: Number.NaN, p50Ms: Number.NaN, p99Ms: Number.NaN, maxMs: Number.NaN };

/** Does one job after the other. */
class Generator {
  #subject: Subject | undefined;

  async run(job: Job): Promise<Figures> {
    switch (job.kind) {
      case "connect":
        return this.#connect(job.endpoint, job.keys);
      case "watch":
        return this.#connected.watch(job);
      case "progress":
        return this.#connected.progress(job.calls);
      case "compact":
        return this.#connected.compact(job.ms);
      case "shared":
        return this.#shared(job);
      case "unary":
        return unary(job);
      default:
        return this.#connected[job.kind](job.inFlight, job.calls);
    }
  }

  close(): void {
    this.#subject?.close();
    this.#subject = undefined;
  }

  get #connected(): Subject {
    if (this.#subject === undefined) throw new Error("Cannot make load: nothing is connected");
    return this.#subject;
  }

  async #connect(endpoint: string, keys: number): Promise<Figures> {
    this.close();
    this.#subject = await Subject.connect(endpoint, keys);
    return NOTHING;
  }

  async #shared({ endpoints, calls, pauseMs, traffic }: Extract<Job, { kind: "shared" }>): Promise<Figures> {
    await this.#connect(endpoints[0], 0);
    using undo = new DisposableStack();
    const connection = async (endpoint: string) => undo.adopt(await RawClient.connect(endpoint), (one) => one.close());
    const [writer, watcher] = [await connection(endpoints[0]), await connection(endpoints[1])];
    const value = Buffer.alloc(1024, "v");
    const lag = () => eventLag({ writer, watchers: [watcher], calls, pauseMs, value });
    return await this.#connected.besideTraffic(traffic, lag);
  }
}

async function unary({ endpoint, path, inFlight, calls }: Extract<Job, { kind: "unary" }>): Promise<Figures> {
  const client = await RawGrpcClient.connect(endpoint, path, Buffer.alloc(0));
  try {
    await client.run(WARM_CALLS, 64);
    const startedAt = performance.now();
    const took = await client.run(calls, inFlight);
    return { perSecond: calls / ((performance.now() - startedAt) / 1000), ...percentiles(took) };
  } finally {
    client.close();
  }
}

const generator = new Generator();
// sound: LoadGenerator sends jobs only
const answer = (question: unknown) => generator.run(question as Job);
answerQuestions("ready", answer, () => {
  generator.close();
  return Promise.resolve();
});

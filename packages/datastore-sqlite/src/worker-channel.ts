import type { Worker } from "node:worker_threads";
import { startWorker } from "@k3s/async";
import { ConnectionUse, DriverError } from "@k3s/datastore";
import { bundledAddon } from "./bundled-addon.ts";
import { toDriverError } from "./errors.ts";
import type { Operation, Requests, WorkerData, WorkerResponse, WorkerSettings } from "./worker-protocol.ts";

/** Memory of one worker: it holds one batch or one answer at a time. */
const LIMITS = { maxOldGenerationSizeMb: 96, maxYoungGenerationSizeMb: 4, stackSizeMb: 2 };

type Answer = Requests[Operation]["answer"];

/** Asks a worker thread and hears its answers. A worker that dies fails what it was asked; the next request starts another. */
export class WorkerChannel {
  readonly #settings: WorkerSettings;
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer>>();
  /** The connection of the worker. */
  readonly use = new ConnectionUse();
  #worker: Worker | undefined;
  #nextId = 1;
  #isClosed = false;

  constructor(settings: WorkerSettings) {
    this.#settings = settings;
  }

  /** Rejects with DriverError. Buffers in `transfer` are moved to the worker. */
  async call<Name extends Operation>(
    operation: Name,
    argument: Requests[Name]["argument"],
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<Requests[Name]["answer"]> {
    if (this.#isClosed) throw new DriverError("failed", "Cannot use SQLite: the database is closed");
    this.#worker ??= this.#start();
    const id = this.#nextId++;
    const outcome = Promise.withResolvers<Answer>();
    this.#waiting.set(id, outcome);
    this.use.ask();
    this.#worker.postMessage({ id, operation, argument }, transfer);
    return await outcome.promise; // sound: the worker answers what it was asked
  }

  /** Closes the connection after what was asked before, and waits for the thread to end. */
  async close(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined || this.#isClosed) {
      this.#isClosed = true;
      return;
    }
    const ended = new Promise((resolve) => worker.once("exit", resolve));
    const closed = this.call("close", undefined);
    this.#isClosed = true;
    await closed.catch(() => undefined); // a dead worker has nothing to close
    await ended;
  }

  #start(): Worker {
    this.use.opened();
    // One path for all threads: SQLite's locks hold only where one copy of it is in the process.
    const workerData: WorkerData = { ...this.#settings, addon: bundledAddon() };
    const worker = startWorker("sqlite-worker", import.meta.url, {
      workerData,
      resourceLimits: LIMITS,
      execArgv: [],
      name: "sqlite",
    });
    let reason: unknown;
    worker.on("message", (response: WorkerResponse) => this.#settle(response));
    worker.on("error", (error) => (reason = error));
    worker.on("exit", () => this.#lose(worker, reason));
    return worker;
  }

  #settle(response: WorkerResponse): void {
    const outcome = this.#waiting.get(response.id);
    if (this.#waiting.delete(response.id)) this.use.end();
    if ("answer" in response) outcome?.resolve(response.answer);
    else outcome?.reject(toDriverError(response.failure));
  }

  #lose(worker: Worker, cause: unknown): void {
    if (this.#worker === worker) this.#worker = undefined;
    this.use.closed();
    const lost = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of lost) {
      this.use.end();
      reject(new DriverError("failed", "Cannot use SQLite: its worker thread ended", { cause }));
    }
  }
}

import { parentPort, workerData } from "node:worker_threads";
import { connect, type Connection } from "./connection.ts";
import { holdMoment, releaseMoment } from "./hold-moment.ts";
import { hasUncopiedRows } from "./old-table.ts";
import { readerOperations, type ReaderOperations } from "./reader-operations.ts";
import { indexHeads, prepareSchema, quickCheck } from "./schema.ts";
import type {
  Operation,
  Requests,
  WorkerData,
  WorkerFailure,
  WorkerRequest,
  WorkerResponse,
} from "./worker-protocol.ts";
import { writerOperations, type WriterOperations } from "./writer-operations.ts";

type Handlers = { readonly [Name in Operation]: (argument: Requests[Name]["argument"]) => Requests[Name]["answer"] };

/** Runs requests one after the other on one connection. The same code serves the writer and the reader. */
class SqliteWorker {
  readonly #settings: WorkerData;
  #database: Connection | undefined;
  #reader: ReaderOperations | undefined;
  #writer: WriterOperations | undefined;

  constructor(settings: WorkerData) {
    this.#settings = settings;
  }

  readonly #handlers: Handlers = {
    quickCheck: () => quickCheck(this.#connection()),
    prepare: ({ hasOthers }) => prepareSchema(this.#connection(), hasOthers),
    indexHeads: () => indexHeads(this.#connection()),
    commit: (batch) => this.#writing().commit(batch),
    prune: (pruning) => this.#writing().prune(pruning),
    vacuum: (options) => this.#writing().vacuum(options),
    heads: (page) => this.#reading().heads(page),
    side: () => this.#reading().side(),
    values: (rows) => this.#reading().values(rows),
    position: () => this.#reading().position(),
    size: () => this.#reading().size(),
    integrity: () => this.#reading().integrity(),
    findings: () => this.#reading().findings(),
    uncopied: () => hasUncopiedRows(this.#connection()),
    hold: () => holdMoment(this.#connection()),
    release: () => releaseMoment(this.#connection()),
    checkpoint: (options) => this.#reading().checkpoint(options),
    copy: (path) => void this.#connection().prepare("VACUUM INTO ?").run(path),
    close: () => this.#database?.close(),
  };

  answer({ id, operation, argument }: WorkerRequest): WorkerResponse {
    // sound: WorkerChannel.call() pairs the argument with the operation
    const handler = this.#handlers[operation] as (argument: unknown) => Requests[Operation]["answer"];
    try {
      return { id, answer: handler(argument) };
    } catch (error) {
      return { id, failure: toFailure(error) };
    }
  }

  #connection(): Connection {
    this.#database ??= connect(this.#settings);
    return this.#database;
  }

  #reading(): ReaderOperations {
    this.#reader ??= readerOperations(this.#connection());
    return this.#reader;
  }

  #writing(): WriterOperations {
    this.#writer ??= writerOperations(this.#connection(), this.#settings.synchronous);
    return this.#writer;
  }
}

function toFailure(error: unknown): WorkerFailure {
  if (!(error instanceof Error)) return { code: "UNKNOWN", message: String(error) };
  const code = "code" in error && typeof error.code === "string" ? error.code : "UNKNOWN";
  return { code, message: error.message };
}

function transferable(response: WorkerResponse): ArrayBuffer[] {
  const answer = "answer" in response ? response.answer : undefined;
  if (typeof answer !== "object") return [];
  if ("nameLengths" in answer) return [answer.numbers, answer.nameLengths, answer.names];
  return "bytes" in answer ? [answer.bytes] : [];
}

const worker = new SqliteWorker(workerData as WorkerData); // sound: given by WorkerChannel
parentPort?.on("message", (request: WorkerRequest) => {
  const response = worker.answer(request);
  parentPort?.postMessage(response, transferable(response));
  if (request.operation === "close") parentPort?.close();
});

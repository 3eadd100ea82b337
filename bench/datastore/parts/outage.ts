import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { aborted, deadline, sleep } from "@k3s/async";
import { attempt, type BenchContext } from "../bench-context.ts";
import type { Database, DatabaseName } from "../databases.ts";
import { putRequest } from "../messages.ts";
import { RawClient } from "../raw-client.ts";
import { openDatabase, startStore } from "../target.ts";

export const OUTAGE_TABLE = "database away under writes: first write served after it is back";
export const OUTAGES = ["killed for 3 s", "stopped for 3 s", "frozen for 3 s", "frozen for 12 s"] as const;
type Outage = (typeof OUTAGES)[number];

/** The last one is longer than any statement may take: the connections are given up meanwhile. */
const AWAY_MS: Readonly<Record<Outage, number>> = {
  "killed for 3 s": 3000,
  "stopped for 3 s": 3000,
  "frozen for 3 s": 3000,
  "frozen for 12 s": 12_000,
};
const WRITERS = 8;
const PATIENCE_MS = 60_000;
/** A client tries again after this. */
const PAUSE_MS = 5;
const SERVERS: readonly DatabaseName[] = ["mariadb", "postgres", "nats"];

/** How soon writes are served again when a database returns. */
export async function measureOutages(context: BenchContext): Promise<void> {
  for (const name of SERVERS.filter((one) => context.options.targets.includes(one)))
    await attempt(context, `outage, ${name}`, () => measureDatabase(context, name));
}

async function measureDatabase({ report, server: file }: BenchContext, name: DatabaseName): Promise<void> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), `bench-outage-${name}-`));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const database = await openDatabase(name, folder, undo);
  const options = { endpoint: database.endpoint, folder: join(folder, "server") };
  await mkdir(options.folder);
  const store = undo.use(await startStore(file, options));
  for (const outage of OUTAGES) {
    await using writers = await Writers.start(store.greeting);
    await writers.served();
    await begin(outage, database);
    await sleep(AWAY_MS[outage]);
    await end(outage, database);
    const returnedAt = performance.now();
    await writers.served();
    report.note({ table: OUTAGE_TABLE, row: `${outage}, ms`, column: name }, performance.now() - returnedAt);
  }
}

async function begin(outage: Outage, database: Database): Promise<void> {
  if (outage.startsWith("frozen")) await database.freeze();
  else if (outage.startsWith("killed")) await database.kill();
  else await database.stop();
}

async function end(outage: Outage, database: Database): Promise<void> {
  if (outage.startsWith("frozen")) await database.thaw();
  else await database.restart();
}

/** Clients that write, and try again when that fails. */
class Writers implements AsyncDisposable {
  readonly #client: RawClient;
  readonly #over = new AbortController();
  readonly #lanes: Promise<unknown>;
  #next = Promise.withResolvers<void>();

  private constructor(client: RawClient) {
    this.#client = client;
    this.#lanes = Promise.all(Array.from({ length: WRITERS }, (_, i) => this.#write(`/registry/outage/${i}`)));
  }

  static async start(endpoint: string): Promise<Writers> {
    return new Writers(await RawClient.connect(endpoint));
  }

  /** Resolves when a write is served from now on. */
  async served(): Promise<void> {
    using limit = deadline(PATIENCE_MS, "Waiting for a write");
    this.#next = Promise.withResolvers();
    await Promise.race([this.#next.promise, aborted(limit)]);
    limit.throwIfAborted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    this.#client.close();
    await this.#lanes;
  }

  async #write(key: string): Promise<void> {
    const request = putRequest(key, Buffer.alloc(1024, "v"));
    while (!this.#over.signal.aborted) {
      const isServed = await this.#client.unary("/etcdserverpb.KV/Put", request).then(
        () => true,
        () => false,
      );
      if (isServed) this.#next.resolve();
      else await sleep(PAUSE_MS);
    }
  }
}

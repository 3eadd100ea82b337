import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { createLogger } from "@k3s/log";
import {
  putRequest,
  Random,
  rangeRequest,
  RawClient,
  readAnswer,
  readWatch,
  txnOp,
  txnRequest,
  watchRequest,
} from "@k3s/testkit";
import { messagePrefix } from "../src/grpc-framing.ts";
import { ProtoError } from "../src/proto/proto-reader.ts";
import { Code, RpcError } from "../src/rpc-error.ts";
import { onEachTransport } from "./support/api.ts";
import { FuzzClient, type Outcome } from "./support/fuzz-call.ts";
import { spoil } from "./support/spoil.ts";
import { VALID_REQUESTS } from "./support/valid-requests.ts";

const ROUNDS = 25;
const FRAMING_ROUNDS = 300;
const GROWTH_MAX_BYTES = 300 << 20;
const OK = 0;
/** What may be wrong with a message or its frame. "unknown" would be a bug, "unavailable" a server that is gone. */
const PLAUSIBLE: ReadonlySet<number | undefined> = new Set([
  ...[undefined, OK, Code.invalidArgument, Code.notFound, Code.resourceExhausted, Code.failedPrecondition],
  ...[Code.outOfRange, Code.unimplemented, Code.internal],
]);
const QUIET_KEY = "/quiet/key";
const FILTER_NODELETE = 1;

/** Somebody else's client: writes, reads what it wrote, and watches. */
class QuietClient {
  readonly #client: RawClient;
  readonly #watch: ReturnType<RawClient["stream"]>;
  readonly #written: string[] = [];

  constructor(t: TestContext, target: string) {
    this.#client = new RawClient(t, target);
    this.#watch = this.#client.stream(t, "/etcdserverpb.Watch/Watch");
    this.#watch.send(watchRequest.create({ key: QUIET_KEY, filters: [FILTER_NODELETE] }));
  }

  async start(): Promise<void> {
    assert.ok(readWatch(await this.#watch.take()).created);
  }

  /** One write with its read, in one transaction: the others may delete what they like. */
  async work(): Promise<void> {
    const value = `value ${this.#written.length}`;
    this.#written.push(value);
    const success = [txnOp.put({ key: QUIET_KEY, value }), txnOp.range({ key: QUIET_KEY })];
    const answer = readAnswer.txn(await this.#client.call("/etcdserverpb.KV/Txn", txnRequest({ success })));
    assert.equal(answer.responses[1]?.kvs[0]?.value, value);
  }

  async assertAllWatched(): Promise<void> {
    const seen: string[] = [];
    while (seen.length < this.#written.length)
      seen.push(...readWatch(await this.#watch.take()).events.map(({ kv }) => kv?.value ?? ""));
    assert.deepEqual(seen, this.#written);
  }
}

function framed(message: Buffer): Buffer {
  return Buffer.concat([messagePrefix(message.length), message]);
}

/** The status that a message has to be refused with; undefined when that is for the store to say. */
function refusalOf(decode: ((bytes: Buffer) => unknown) | undefined, message: Buffer): number | undefined {
  try {
    decode?.(message);
    return undefined;
  } catch (error) {
    if (error instanceof ProtoError) return Code.internal;
    assert.ok(error instanceof RpcError);
    return error.code;
  }
}

function assertStatus({ status, message }: Outcome, expected: number | undefined, where: string): void {
  if (expected !== undefined) assert.equal(status, expected, `${where}: ${message}`);
  else {
    assert.ok(PLAUSIBLE.has(status), `${where}: status ${status}, ${message}`);
    assert.doesNotMatch(message, /unmarshalling/, where);
  }
}

/** A frame that does not hold what it says, or more than one, or none. */
function spoiltFrames(message: Buffer, random: Random): Buffer {
  const frame = framed(message);
  return random.pick([
    () => frame.subarray(0, random.below(frame.length)),
    () => Buffer.concat([Buffer.from([random.below(256)]), frame.subarray(1)]),
    () => Buffer.concat([messagePrefix(2 ** 32 - 1), message]),
    () => Buffer.concat([messagePrefix(random.below(4 << 20)), message]),
    () => Buffer.concat([frame, frame]),
    () => Buffer.concat([frame, random.bytes(1 + random.below(4))]),
    () => random.bytes(random.below(50)),
    () => Buffer.alloc(0),
  ])();
}

onEachTransport((startApi) => {
  /** A server whose bugs would be logged, the client that must not notice anything, and one that may send what it likes. */
  async function start(t: TestContext) {
    const errors: string[] = [];
    const log = createLogger({ level: "error", format: "text", write: (line) => void errors.push(line) });
    const { socketPath, server } = await startApi(t, { log });
    const quiet = new QuietClient(t, `unix:${socketPath}`);
    await quiet.start();
    const before = process.memoryUsage.rss();
    const finish = async () => {
      await quiet.work();
      await quiet.assertAllWatched();
      assert.deepEqual(errors, []);
      const growth = process.memoryUsage.rss() - before;
      assert.ok(growth < GROWTH_MAX_BYTES, `memory grew by ${growth} bytes`);
    };
    return { server, quiet, socketPath, finish };
  }

  test("spoilt messages to every method have the right status, and nobody else notices", async (t) => {
    const { quiet, socketPath, finish } = await start(t);
    const client = await FuzzClient.connect(t, socketPath);
    const random = new Random(2379);
    for (const [path, { requests, decode }] of Object.entries(VALID_REQUESTS)) {
      // The server waits for the next word of a watcher that said nothing to be answered.
      const after =
        path === "/etcdserverpb.Watch/Watch" ? framed(watchRequest.create({ key: "/none" })) : Buffer.alloc(0);
      for (let i = 0; i < ROUNDS; i++) {
        const message = spoil(random.pick(requests), random);
        const outcome = await client.call(path, Buffer.concat([framed(message), after]));
        const where = `seed ${random.seed}, ${path}, round ${i}, ${message.toString("hex")}`;
        assertStatus(outcome, refusalOf(decode, message), where);
        if (i % 5 === 0) await quiet.work();
      }
    }
    await finish();
  });

  test("spoilt frames have a plausible status, and nobody else notices", async (t) => {
    const { quiet, socketPath, finish } = await start(t);
    const client = await FuzzClient.connect(t, socketPath);
    const random = new Random(2380);
    const puts = [putRequest({ key: "/fuzz/key", value: "value" }), rangeRequest({ key: "/fuzz/key" })];
    for (let i = 0; i < FRAMING_ROUNDS; i++) {
      const body = spoiltFrames(random.pick(puts), random);
      const path = random.pick(["/etcdserverpb.KV/Put", "/etcdserverpb.KV/Range"]);
      const outcome = await client.call(path, body);
      assertStatus(outcome, undefined, `seed ${random.seed}, ${path}, round ${i}, ${body.toString("hex")}`);
      if (i % 10 === 0) await quiet.work();
    }
    await finish();
  });
});

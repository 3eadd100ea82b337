import { randomBytes } from "node:crypto";
import { retry, WaitPace } from "@k3s/async";
import { DriverError, type Driver } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import { assertUsable, rowsConfig, sideConfig, streamOf, type BucketConfig } from "./bucket-config.ts";
import { toBucketRefusal } from "./bucket-refusal.ts";
import { Bucket } from "./bucket.ts";
import { Claims } from "./claims.ts";
import { connectNats, type TlsFiles } from "./connect-nats.ts";
import { warnOfIgnoredFields } from "./context-file.ts";
import { NatsError } from "./errors.ts";
import { HistoryGuard } from "./history-guard.ts";
import { NatsDriver } from "./nats-driver.ts";
import { parseNatsEndpoint, warnOfIgnored, type NatsEndpoint } from "./nats-endpoint.ts";
import { NatsLink } from "./nats-link.ts";
import { RowMessages } from "./row-message.ts";
import { RowWriter } from "./row-writer.ts";
import { SideBucket } from "./side-bucket.ts";
import { SpanRepair } from "./span-repair.ts";
import { Subjects } from "./subjects.ts";
import { JetStreamApiError, type StreamConfig, type StreamInfo } from "@nats-io/jetstream";

/** An etcd request of 1.5 MiB in base 64. */
const WANTED_PAYLOAD_BYTES = 2.1 * 1024 * 1024;
const STREAM_NOT_FOUND = 10_059;
const NAME_IN_USE = 10_058;
/** For the account, for the server. */
const NO_JETSTREAM: ReadonlySet<number> = new Set([10_039, 10_076]);

export interface NatsDriverOptions {
  /** `nats://…` or `jetstream://…`, as kine takes it. */
  readonly endpoint: string;
  readonly tls?: TlsFiles;
  readonly log: Logger;
  /** Ends the wait for a server that is not there yet. */
  readonly signal: AbortSignal;
}

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 2000;
/** The server may come, and another program may leave its port. */
const PASSING: ReadonlySet<string> = new Set(["ERR_NATS_UNREACHABLE", "ERR_NATS_FOREIGN"]);
const UNREADY = {
  code: "UNREADY",
  hint: "Look whether the NATS servers have elected a leader and are as many as replicas= of the endpoint, and whether the user has the permissions and the account and the bucket have room for consumers (nats stream info)",
} as const;

/**
 * Connects to NATS and opens kine's bucket, or makes it as kine does. Waits for a server that cannot be reached, until `signal` aborts.
 * Rejects with NatsError when the endpoint is malformed or the bucket cannot be used as it is.
 */
export async function openNatsDriver(options: NatsDriverOptions): Promise<Driver> {
  const { tls = {}, log, signal } = options;
  const endpoint = parseNatsEndpoint(options.endpoint);
  warnOfIgnored(endpoint, log);
  await warnOfIgnoredFields(endpoint.contextFile, log);
  const use = (link: NatsLink) => openBucket(link, endpoint, log);
  return retry(() => connectAnd(use, { endpoint, tls, log }), retryPolicy(endpoint.shown, log), signal);
}

/** Connects and gives `use` the connection, which is closed when it rejects. Rejects with what an operator is told. */
export async function connectAnd<T>(
  use: (link: NatsLink) => Promise<T>,
  { endpoint, tls, log }: { readonly endpoint: NatsEndpoint; readonly tls: TlsFiles; readonly log: Logger },
): Promise<T> {
  const { slowMethodMs: slowMs, shown } = endpoint;
  const link = await NatsLink.over({ ...(await connectNats(endpoint, tls)), log, slowMs, shown });
  try {
    return await use(link);
  } catch (error) {
    await link.close();
    throw toOpenError(endpoint.shown, error);
  }
}

/** Asks again while no server answers as it should. */
export function retryPolicy(endpoint: string, log: Logger): Parameters<typeof retry>[1] {
  const pace = new WaitPace(performance.now());
  return {
    delayMinMs: RETRY_MIN_MS,
    delayMaxMs: RETRY_MAX_MS,
    // A cluster without a leader answers, but not to what is asked of it.
    isRetryable: (error) => error instanceof DriverError || (error instanceof NatsError && PASSING.has(error.code)),
    onRetry: (error, attempt) => {
      const now = performance.now();
      const { code, hint } = error instanceof NatsError ? error : UNREADY;
      if (!pace.isDue(now, { attempt, code })) return;
      log.warn({ endpoint, durationMs: Math.round(pace.waitedMs(now)), error, hint }, "waiting for NATS");
    },
  };
}

async function openBucket(link: NatsLink, endpoint: NatsEndpoint, log: Logger): Promise<Driver> {
  const { bucket } = endpoint;
  const sideName = sideBucketOf(bucket);
  const rows = await ensureStream(link, rowsConfig(endpoint));
  assertUsable(bucket, rows);
  const beside = await ensureStream(link, sideConfig({ ...endpoint, bucket: sideName, replicas: rows.num_replicas }));
  assertUsable(sideName, { ...beside, max_msgs_per_subject: 0 });
  warn(link, { endpoint, rows, log });
  const messages = new Bucket(link, { bucket, isReplicated: rows.num_replicas > 1 });
  const sideMessages = new Bucket(link, { bucket: sideName, isReplicated: beside.num_replicas > 1 });
  const owner = randomBytes(4).toString("hex");
  const subjects = new Subjects(bucket);
  const codec = new RowMessages(subjects, owner);
  const side = new SideBucket({ link, log, bucket: sideName, messages: sideMessages, owner });
  const claims = new Claims({ messages: sideMessages, subject: side.claimSubject, owner });
  const history = rows.max_msgs_per_subject;
  const guard = new HistoryGuard({ link, bucket, history, owner });
  const writer = new RowWriter({ messages, codec, link, guard, writer: owner });
  const repair = new SpanRepair({ messages, subjects, codec, history, log });
  const parts = {
    link,
    log,
    bucket,
    messages,
    sideMessages,
    side,
    claims,
    subjects,
    codec,
    writer,
    repair,
    history,
    owner,
  };
  const driver = new NatsDriver(parts);
  try {
    await side.open((message) => claims.learn(message));
    await driver.open();
    return driver;
  } catch (error) {
    await link.close(); // first: then those who follow the buckets wait for no answer any more
    await driver.close();
    throw error;
  }
}

/** Name of the bucket beside kine's. */
export function sideBucketOf(bucket: string): string {
  return `${bucket}-k3s`;
}

/** The stream's configuration; undefined where there is no such stream. */
export async function findStream(link: NatsLink, name: string): Promise<StreamConfig | undefined> {
  return await ask(link, { name }, async () => {
    try {
      return (await link.manager.streams.info(name)).config;
    } catch (error) {
      if (hasCode(error, STREAM_NOT_FOUND)) return undefined;
      throw error;
    }
  });
}

/** The stream's configuration as it is, or as it was made now. Buckets of old kines get direct reads, as newer kines do. */
async function ensureStream(link: NatsLink, wanted: BucketConfig): Promise<StreamConfig> {
  const { streams } = link.manager;
  const { config } = await ask(link, wanted, async (): Promise<StreamInfo> => {
    try {
      return await streams.info(wanted.name);
    } catch (error) {
      if (!hasCode(error, STREAM_NOT_FOUND)) throw error;
    }
    try {
      return await streams.add(wanted);
    } catch (error) {
      if (hasCode(error, NAME_IN_USE)) return await streams.info(wanted.name); // another server was first
      throw error;
    }
  });
  if (!config.allow_direct)
    await ask(link, wanted, () => streams.update(wanted.name, { ...config, allow_direct: true }));
  return config;
}

/** Rejects with NatsError where asking again is no use, else with DriverError. */
async function ask<T>(link: NatsLink, wanted: BucketConfig, task: () => Promise<T>): Promise<T> {
  try {
    return await link.run("open bucket", task);
  } catch (error) {
    throw (error instanceof DriverError && toBucketRefusal(wanted, error.cause)) || error;
  }
}

function warn(
  link: NatsLink,
  about: { readonly endpoint: NatsEndpoint; readonly rows: StreamConfig; readonly log: Logger },
): void {
  const { endpoint, rows, log } = about;
  const server = link.connection.info?.version ?? "";
  log.warn(
    { server, replicas: rows.num_replicas },
    "NATS acknowledges writes before they are on the disk, unless nats-server 2.10 or newer is configured with sync_interval: always",
  );
  if (link.maxMessageBytes < WANTED_PAYLOAD_BYTES)
    log.warn(
      { maxPayloadBytes: link.maxMessageBytes },
      "large objects will be refused: set max_payload of nats-server to 4MB",
    );
  if (rows.max_msgs_per_subject !== endpoint.revHistory || rows.num_replicas !== endpoint.replicas)
    log.warn(
      { bucket: streamOf(endpoint.bucket), revHistory: rows.max_msgs_per_subject, replicas: rows.num_replicas },
      "the bucket has another history or other replicas than the datastore endpoint says, it is used as it is",
    );
}

/** What an operator is told; all but a missing JetStream comes back as it is. */
function toOpenError(shown: string, error: unknown): unknown {
  for (let current = error; current instanceof Error; current = current.cause) {
    const isMissing = current instanceof JetStreamApiError && NO_JETSTREAM.has(current.code);
    if (isMissing || current.name === "JetStreamNotEnabled") return NatsError.noJetStream(shown, error);
  }
  return error;
}

function hasCode(error: unknown, code: number): boolean {
  return error instanceof JetStreamApiError && error.code === code;
}

import { retry } from "@k3s/async";
import type { DatabaseReader } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import type { StreamConfig } from "@nats-io/jetstream";
import { assertUsable, streamOf } from "./bucket-config.ts";
import { Bucket } from "./bucket.ts";
import { warnOfIgnoredFields } from "./context-file.ts";
import { NatsError } from "./errors.ts";
import { parseNatsEndpoint, warnOfIgnored, type NatsEndpoint } from "./nats-endpoint.ts";
import type { NatsLink } from "./nats-link.ts";
import { NatsReader } from "./nats-reader.ts";
import { connectAnd, findStream, retryPolicy, sideBucketOf, type NatsDriverOptions } from "./open-nats-driver.ts";
import { RowMessages } from "./row-message.ts";
import { SideBucket } from "./side-bucket.ts";
import { SpanRepair } from "./span-repair.ts";
import { Subjects } from "./subjects.ts";

/** In no message: what is read here is somebody else's. */
const NOBODY = "";

/**
 * Connects to NATS and opens kine's bucket for reading alone: buckets stay as they are, and no message is written or removed. While it
 * reads, the server has a consumer for it in memory. Waits for a server that cannot be reached, until `signal` aborts. Rejects with
 * NatsError, also when there is no such bucket.
 */
export async function openNatsReader(options: NatsDriverOptions): Promise<DatabaseReader> {
  const { tls = {}, log, signal } = options;
  const endpoint = parseNatsEndpoint(options.endpoint);
  warnOfIgnored(endpoint, log);
  await warnOfIgnoredFields(endpoint.contextFile, log);
  const use = (link: NatsLink) => openBuckets(link, endpoint, log);
  return retry(() => connectAnd(use, { endpoint, tls, log }), retryPolicy(endpoint.shown, log), signal);
}

async function openBuckets(link: NatsLink, { bucket, shown }: NatsEndpoint, log: Logger): Promise<DatabaseReader> {
  const rows = await findStream(link, streamOf(bucket));
  if (rows === undefined) throw NatsError.absent(shown, bucket);
  assertUsable(bucket, rows);
  const subjects = new Subjects(bucket);
  const codec = new RowMessages(subjects, NOBODY);
  const messages = bucketOf(link, bucket, rows);
  const sideName = sideBucketOf(bucket);
  const beside = await findStream(link, streamOf(sideName));
  const sideMessages = beside === undefined ? undefined : bucketOf(link, sideName, beside);
  const side =
    sideMessages === undefined
      ? undefined
      : new SideBucket({ link, log, bucket: sideName, messages: sideMessages, owner: NOBODY });
  const history = rows.max_msgs_per_subject;
  return new NatsReader({
    ...{ link, log, messages, sideMessages, side, codec, history },
    repair: new SpanRepair({ messages, subjects, codec, history, log }),
  });
}

function bucketOf(link: NatsLink, bucket: string, config: StreamConfig): Bucket {
  return new Bucket(link, { bucket, isReplicated: config.num_replicas > 1, hasDirect: config.allow_direct });
}

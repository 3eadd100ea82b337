import { DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig } from "@nats-io/jetstream";
import { NatsError } from "./errors.ts";

/** NATS's own window for duplicates, which kine's client names when it makes a bucket. Nanoseconds. */
const DUPLICATE_WINDOW_NS = 120_000_000_000;
/** Below that the value before a change is not there when the change is told. */
const LEAST_HISTORY = 2;

export type BucketConfig = Partial<StreamConfig> & Pick<StreamConfig, "name">;

export interface BucketOptions {
  readonly bucket: string;
  readonly replicas: number;
  readonly revHistory: number;
}

/** Name of the stream under a key-value bucket. */
export function streamOf(bucket: string): string {
  return `KV_${bucket}`;
}

/** Name of the bucket over a stream of its own. */
export function bucketOf(stream: string): string {
  return stream.slice(streamOf("").length);
}

/** A bucket exactly as kine makes it: kine refuses one that differs in anything. */
export function rowsConfig({ bucket, replicas, revHistory }: BucketOptions): BucketConfig {
  return {
    ...keyValueConfig(bucket, replicas),
    description: "Holds kine key/values",
    max_msgs_per_subject: revHistory,
    deny_delete: true,
  };
}

/** The bucket beside it: leases, and what else kine has no place for. */
export function sideConfig({ bucket, replicas }: BucketOptions): BucketConfig {
  return {
    ...keyValueConfig(bucket, replicas),
    description: "Leases of k3s, beside the bucket of kine",
    max_msgs_per_subject: 1,
    deny_delete: false,
  };
}

/** Throws NatsError when the bucket loses data by itself or is no bucket. */
export function assertUsable(bucket: string, config: Readonly<StreamConfig>): void {
  const problem = findProblem(bucket, config);
  if (problem !== undefined) throw NatsError.badBucket(bucket, problem);
}

function findProblem(bucket: string, config: Readonly<StreamConfig>): string | undefined {
  const isBucket = config.subjects.length === 1 && config.subjects[0] === `$KV.${bucket}.>`;
  if (!isBucket || config.retention !== RetentionPolicy.Limits) return "its stream is no key-value bucket";
  if (config.max_age > 0) return "it drops keys by age (max_age)";
  if (config.discard === DiscardPolicy.Old && (config.max_bytes > 0 || config.max_msgs > 0))
    return "it drops old keys when it is full (discard: old)";
  const history = config.max_msgs_per_subject;
  if (history > 0 && history < LEAST_HISTORY) return `its history of ${history} is less than ${LEAST_HISTORY}`;
  return config.sealed ? "it is sealed" : undefined;
}

function keyValueConfig(bucket: string, replicas: number): BucketConfig {
  return {
    name: streamOf(bucket),
    subjects: [`$KV.${bucket}.>`],
    num_replicas: replicas,
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    max_bytes: -1,
    max_msgs: -1,
    max_msg_size: -1,
    max_consumers: -1,
    max_age: 0,
    duplicate_window: DUPLICATE_WINDOW_NS,
    allow_rollup_hdrs: true,
    allow_direct: true,
  };
}

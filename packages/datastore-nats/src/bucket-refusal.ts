import { JetStreamApiError } from "@nats-io/jetstream";
import { bucketOf, type BucketConfig } from "./bucket-config.ts";
import { NatsError } from "./errors.ts";

/** JetStream's status for what cannot be done now: no leader, a server that is away. */
const UNAVAILABLE = 503;
/**
 * What passes although it has another status: no peers, not clustered, assigned or leading yet; failures of Raft, of an assignment, of
 * storage; a stream that is offline or being moved, too many requests, servers that join or leave.
 */
const PASSING: ReadonlySet<number> = new Set([
  ...[10_005, 10_006, 10_007, 10_009, 10_041, 10_048, 10_049, 10_051, 10_069],
  ...[10_118, 10_124, 10_167, 10_194, 10_202],
]);
const REPLICAS_NOT_SUPPORTED = 10_074;
const MAX_BYTES_REQUIRED = 10_113;
/** Of the account, of memory, storage, streams and their sizes. */
const LIMITS: ReadonlySet<number> = new Set([10_002, 10_027, 10_028, 10_047, 10_053, 10_120, 10_122]);

/** What an operator is told when JetStream does not open a bucket or make it; undefined: asking again may help. */
export function toBucketRefusal(wanted: BucketConfig, error: unknown): NatsError | undefined {
  const bucket = bucketOf(wanted.name);
  if (!(error instanceof JetStreamApiError)) return undefined;
  if (error.status === UNAVAILABLE || PASSING.has(error.code)) return undefined;
  if (error.code === REPLICAS_NOT_SUPPORTED) return NatsError.tooManyReplicas(bucket, error);
  if (error.code === MAX_BYTES_REQUIRED) return NatsError.noMaxBytes(bucket, wanted.max_msgs_per_subject ?? -1, error);
  return LIMITS.has(error.code) ? NatsError.noRoom(bucket, error) : NatsError.refusedBucket(bucket, error);
}

import type { ServerKind } from "./server-kind.ts";

interface Known {
  readonly servers: readonly ServerKind[];
  readonly reason: string;
}

const OURS: readonly ServerKind[] = ["http2", "grpc-js"];

/** Everything in which a server may differ from what the tests expect, and why. Nothing else may differ. */
const knownDifferences = {
  "revision per write": {
    servers: OURS,
    reason: "A table of one row for each change counts changes; all of one transaction carry the last number",
  },
  "headers left empty": {
    servers: ["etcd"],
    reason: "etcd 3.4 leaves the header of Alarm and Defragment out, and the revision in that of MemberList",
  },
  "sort unchecked": {
    servers: ["etcd"],
    reason: "etcd before 3.5 takes a sort order or target that does not exist for none",
  },
  "negative start": {
    servers: ["etcd"],
    reason: "etcd 3.4 accepts a watch with a negative start, and then tells it nothing",
  },
  "nested transaction without header": {
    servers: ["etcd"],
    reason: "etcd leaves the header of a transaction inside a transaction empty",
  },
  "progress unsynced": {
    servers: ["etcd"],
    reason:
      "etcd before 3.4.31 answers progress requests before the events they cover, also while a watch of the stream replays history",
  },
  "deletion at compaction forgotten": {
    servers: ["etcd"],
    reason: "etcd before 3.4.34 forgets a deletion in the compacted revision, at which a watch may start",
  },
  "odd authority refused": {
    servers: ["grpc-js"],
    reason: "The HTTP/2 of Node resets streams with such an authority; that is why our own layer is the default",
  },
  "own words for unknown methods": {
    servers: ["grpc-js"],
    reason: "grpc-js answers methods that it was not given by itself",
  },
  "connection reset": {
    servers: ["etcd"],
    reason: "Debian's etcd resets a plain connection that is full of requests about once in a hundred runs",
  },
  "older version": {
    servers: ["etcd"],
    reason: "Debian's etcd is 3.4.23",
  },
} as const satisfies Record<string, Known>;

export type Difference = keyof typeof knownDifferences;

/** Whether a server is known to differ. */
export function differs(kind: ServerKind, difference: Difference): boolean {
  const { servers }: Known = knownDifferences[difference];
  return servers.includes(kind);
}

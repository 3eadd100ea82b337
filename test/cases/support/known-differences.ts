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
    reason: "etcd leaves the header of Defragment out, and the revision in that of MemberList: 3.5.16, and 3.6 too",
  },
  "sort unchecked": {
    servers: ["etcd"],
    reason: "etcd before 3.6, so 3.5.16, takes a sort order or target that does not exist for none",
  },
  "negative start": {
    servers: ["etcd"],
    reason: "etcd before 3.5.24, so 3.5.16, accepts a watch with a negative start",
  },
  "nested transaction without header": {
    servers: ["etcd"],
    reason: "etcd leaves the header of a transaction inside a transaction empty",
  },
  "odd authority refused": {
    servers: ["grpc-js"],
    reason: "The HTTP/2 of Node resets streams with such an authority; that is why our own layer is the default",
  },
  "own words for unknown methods": {
    servers: ["grpc-js"],
    reason: "grpc-js answers methods that it was not given by itself",
  },
} as const satisfies Record<string, Known>;

export type Difference = keyof typeof knownDifferences;

/** Whether a server is known to differ. */
export function differs(kind: ServerKind, difference: Difference): boolean {
  const { servers }: Known = knownDifferences[difference];
  return servers.includes(kind);
}

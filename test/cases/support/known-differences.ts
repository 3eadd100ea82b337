import type { ServerKind } from "./case-server.ts";

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
  "maintenance without header": {
    servers: ["etcd"],
    reason: "etcd 3.4 answers Alarm and Defragment without a filled header",
  },
  "sort unchecked": {
    servers: ["etcd"],
    reason: "etcd before 3.5 takes a sort order or target that does not exist for none",
  },
  "negative start": {
    servers: ["etcd"],
    reason: "",
  },
  "nested transaction without header": {
    servers: ["etcd"],
    reason: "etcd leaves the header of a transaction inside a transaction empty",
  },
} as const satisfies Record<string, Known>;

export type Difference = keyof typeof knownDifferences;

/** Whether a server is known to differ. */
export function differs(kind: ServerKind, difference: Difference): boolean {
  const { servers }: Known = knownDifferences[difference];
  return servers.includes(kind);
}

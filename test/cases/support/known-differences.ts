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
} as const satisfies Record<string, Known>;

export type Difference = keyof typeof knownDifferences;

/** Whether a server is known to differ. */
export function differs(kind: ServerKind, difference: Difference): boolean {
  const { servers }: Known = knownDifferences[difference];
  return servers.includes(kind);
}

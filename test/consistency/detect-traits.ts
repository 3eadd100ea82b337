import { answersProgress, type EndpointTraits } from "./history/endpoint-traits.ts";
import { Connection } from "./wire/connection.ts";

/** Asks a server for its version, and by a transaction of two writes how it counts revisions. Rejects when it does not answer. */
export async function detectTraits(target: string): Promise<EndpointTraits> {
  const connection = new Connection(target);
  try {
    const version = await connection.serverVersion();
    const put = (key: string) => ({ kind: "put", key, value: "" }) as const;
    const before = await connection.perform(put("a"));
    const after = await connection.perform({ kind: "txn", compare: [], success: [put("a"), put("b")], failure: [] });
    if (before.kind !== "ok" || after.kind !== "ok")
      throw new Error(`Cannot write to ${target}: ${JSON.stringify(after)}`);
    const raise = after.response.revision - before.response.revision;
    const isEtcd = raise === 1;
    const revisionStep = isEtcd ? "per-txn" : "per-write";
    return {
      ...{ revisionStep, versions: "exact", revisions: "consecutive", history: "whole", servers: "one" },
      ...{ pastInTxns: true, answersProgress: answersProgress(version), overtakesProgress: isEtcd },
    };
  } finally {
    connection.close();
  }
}

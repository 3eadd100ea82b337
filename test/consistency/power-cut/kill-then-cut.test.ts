import assert from "node:assert/strict";
import { test } from "node:test";
import { ServerProcess } from "../servers/server-process.ts";
import { Random } from "../traffic/random.ts";
import type { Request } from "../history/operation.ts";
import { Connection } from "../wire/connection.ts";
import { UnreliableDisk } from "./unreliable-disk.ts";

const FIRST_CALL_MS = 20_000;
const KEY = "key";

test("what a killed server had written is not lost with the power once the next one has shown it", async () => {
  await using disk = await UnreliableDisk.create({ lies: false });
  const { folder, environment } = disk;
  await using server = new ServerProcess({ folder, environment });
  // Nothing of what it writes has reached the disk when it is killed.
  await using hasty = new ServerProcess({ folder, environment: { ...environment, POWER_CUT_LIES: "1" } });
  for (let round = 1; round <= 3; round++) {
    await serve(server, put(`${round} durable`));
    await serve(hasty, put(`${round} written`));
    assert.deepEqual(await serve(server, RANGE), [`${round} written`]);
    await disk.cut(new Random(round));
    assert.deepEqual(await serve(server, RANGE), [`${round} written`]);
  }
});

const RANGE: Request = { kind: "range", key: KEY, end: "", limit: 0, revision: 0 };

function put(value: string): Request {
  return { kind: "put", key: KEY, value };
}

/** Starts a server, asks it one thing, and kills it. The values that it answers. */
async function serve(server: ServerProcess, request: Request): Promise<readonly string[]> {
  await server.start();
  const connection = new Connection(server.target);
  try {
    await connection.ready(FIRST_CALL_MS);
    const outcome = await connection.perform(request);
    assert.equal(outcome.kind, "ok", JSON.stringify(outcome));
    const { response } = outcome;
    return response.kind === "range" ? response.kvs.map(({ value }) => value) : [];
  } finally {
    connection.close();
    await server.end(0);
  }
}

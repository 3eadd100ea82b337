import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "@k3s/async";
import { createLogger } from "@k3s/log";
import { connect } from "@nats-io/transport-node";
import { NatsLink } from "../src/nats-link.ts";
import { startNats } from "./support/nats-fixture.ts";

test("NatsLink tells of slow requests of one kind once in a while, not of each of a batch", async (t) => {
  const server = await startNats(t);
  const lines: string[] = [];
  const log = createLogger({ level: "info", format: "text", write: (line) => lines.push(line) });
  const connection = await connect({ servers: server.endpoint });
  const link = await NatsLink.over({ connection, log, slowMs: 1, shown: "nats" });
  t.after(() => link.close());
  const slow = (verb: string) => link.run(verb, () => sleep(20));
  await Promise.all([slow("write message"), slow("write message"), slow("write message"), slow("read message")]);
  const told = lines.filter((line) => line.includes("slow NATS request"));
  assert.deepEqual(
    told.map((line) => /request="(.*?)"/.exec(line)?.[1]),
    ["write message", "read message"],
  );
});

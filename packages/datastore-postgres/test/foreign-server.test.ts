import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test, type TestContext } from "node:test";
import { connectPair } from "@k3s/testkit";
import { ForeignServer, PostgresSocket } from "../src/foreign-server.ts";

/** Both ends of a connection. */
async function connected(t: TestContext) {
  const client = new PostgresSocket();
  return { client, server: await connectPair(t, client) };
}

describe("PostgresSocket", () => {
  const strangers = [
    { name: "MariaDB with a length like PostgreSQL's first byte", pieces: ["R", "\0\0\0\x0a11.8.3-MariaDB"] },
    { name: "MariaDB with a length like a yes to TLS", pieces: ["S", "\0", "\0\0", "\x0a11.8.3-MariaDB"] },
    { name: "NATS", pieces: ["I"] },
  ];
  for (const { name, pieces } of strangers)
    test(`ends the connection to a stranger whose greeting comes in pieces: ${name}`, async (t) => {
      const { client, server } = await connected(t);
      for (const piece of pieces.slice(0, -1)) {
        server.write(piece, "latin1");
        assert.equal(String((await once(client, "data"))[0]), piece);
      }
      let isRead = false;
      client.on("data", () => {
        isRead = true;
      });
      server.end(pieces.at(-1) ?? "", "latin1");
      await assert.rejects(once(client, "close"), ForeignServer);
      assert.equal(isRead, false);
    });

  test("hands on what PostgreSQL says, in the pieces that come", async (t) => {
    const { client, server } = await connected(t);
    for (const piece of ["N", "R\0\0\0", "\x08\0\0\0\0", "\0\0\0\0\x0a"]) {
      server.write(piece, "latin1");
      assert.equal(((await once(client, "data")) as [Buffer])[0].toString("latin1"), piece);
    }
  });
});

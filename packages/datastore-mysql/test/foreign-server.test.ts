import assert from "node:assert/strict";
import { once } from "node:events";
import { Socket } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { connectPair } from "@k3s/testkit";
import { FirstWord } from "../src/foreign-server.ts";

/** Both ends of a connection. */
async function connected(t: TestContext) {
  const client = new Socket();
  client.on("error", () => undefined);
  return { client, server: await connectPair(t, client) };
}

describe("FirstWord knows what a server says first", () => {
  const greetings = [
    { name: "NATS", pieces: ["IN", "FO {}"], isForeign: true },
    { name: "NATS, byte by byte", pieces: ["I", "N", "F", "O", " "], isForeign: true },
    { name: "a number that is none of MySQL's", pieces: ["[\0\0\0", "\x07"], isForeign: true },
    { name: "MariaDB", pieces: ["[", "\0\0\0", "\x0a11.8.3-MariaDB"], isForeign: false },
  ];
  for (const { name, pieces, isForeign } of greetings)
    test(`where it comes in pieces: ${name}`, async (t) => {
      const { client, server } = await connected(t);
      const word = new FirstWord(client);
      for (const piece of pieces) {
        assert.deepEqual([word.isHeard, word.isForeign], [false, false], piece);
        server.write(piece, "latin1");
        await once(client, "data");
      }
      assert.deepEqual([word.isHeard, word.isForeign, client.destroyed], [true, isForeign, isForeign]);
    });
});

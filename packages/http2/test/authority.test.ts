import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "@k3s/testkit";
import { HeaderList } from "../src/hpack/header-list.ts";
import { HpackEncoder } from "../src/hpack/hpack-encoder.ts";
import { Flag, FrameType } from "../src/frame.ts";
import { frame, Peer, request, send } from "./support/peer.ts";
import { startServer } from "./support/server.ts";
import { testIdentity } from "./support/identity.ts";

/** What etcd's clients of Kubernetes 1.20 to 1.23, and Go clients on unix sockets, send; and what they should. */
const authorities = [
  "#initially=[http://127.0.0.1:2379]",
  "#initially=[https://a:1;https://b:2]",
  "http://127.0.0.1:2379",
  "/run/k3s/kine.sock",
  "%2Ftmp%2Fkine.sock",
  "kine.sock",
  "127.0.0.1:2379",
  "[::1]:2379",
  "a:1,b:2",
  "has a space",
  "",
];

describe("any :authority", () => {
  for (const authority of authorities)
    test(`"${authority}" is accepted`, async (t) => {
      const { port, heads } = await startServer(t);
      const peer = await Peer.open(t, port);
      peer.write(send.headers(1, [...request("/echo").slice(0, 3), [":authority", authority]], { end: true }));
      assert.equal((await peer.answer(1)).head.get(":status"), "200");
      assert.equal(heads[0]?.authority, authority);
    });

  test("none is accepted", async (t) => {
    const { port, heads } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(send.headers(1, request("/echo").slice(0, 3), { end: true }));
    assert.equal((await peer.answer(1)).head.get(":status"), "200");
    assert.equal(heads[0]?.authority, undefined);
  });

  for (const tls of [false, true])
    test(`case 1: a thousand mixed requests that overflow the table, ${tls ? "over TLS" : "plain"}`, async (t) => {
      const { port, heads } = await startServer(t, tls ? { tls: await testIdentity(t) } : {});
      const peer = await Peer.open(t, port, { tls });
      const [random, encoder] = [new Random(1), new HpackEncoder()];
      const expected: string[] = [];
      for (let i = 0; i < 1000; i++) {
        const authority = random.pick(authorities.filter((text) => text !== "has a space" && text !== ""));
        const fields: [string, string][] = [...request("/echo").slice(0, 3), [":authority", authority]];
        if (random.below(2) === 0) fields.push([`x-${random.below(50)}`, "v".repeat(random.below(300))]);
        const list = new HeaderList(fields, { isConstant: random.below(3) > 0 });
        const flags = Flag.endHeaders | Flag.endStream;
        peer.write(frame({ type: FrameType.headers, flags, streamId: 2 * i + 1, payload: encoder.encode(list) }));
        expected.push(
          fields
            .slice(3)
            .map(([name, value]) => `${name}: ${value}`)
            .join("\n"),
        );
      }
      for (let i = 0; i < 1000; i++) assert.equal((await peer.answer(2 * i + 1)).head.get(":status"), "200");
      const seen = heads.map(({ authority = "", fields }) =>
        [`:authority: ${authority}`, ...fields.map(({ name, value }) => `${name}: ${value}`)].join("\n"),
      );
      assert.deepEqual(seen, expected);
      await peer.assertAlive(2001);
    });
});

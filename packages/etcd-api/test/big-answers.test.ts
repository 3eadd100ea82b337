import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { messagePrefix } from "../src/grpc-framing.ts";
import { onEachTransport } from "./support/api.ts";
import { putRequest, rangeRequest } from "@k3s/testkit";

const VALUE = "v".repeat(1_500_000);
const COUNT = 75;

onEachTransport((startApi) => {
  test("an answer of more than 100 MB arrives, and calls and pings are answered meanwhile", async (t) => {
    const api = await startApi(t);
    for (let i = 0; i < COUNT; i++)
      await api.client.call("/etcdserverpb.KV/Put", putRequest({ key: `/big/${i}`, value: VALUE }));

    const session = connectHttp2("http://localhost", { createConnection: () => connect(api.socketPath) });
    t.after(() => session.destroy());
    await once(session, "connect");
    session.setLocalWindowSize(16 << 20);
    const call = session.request({
      ":method": "POST",
      ":path": "/etcdserverpb.KV/Range",
      "content-type": "application/grpc",
      te: "trailers",
    });
    const request = rangeRequest({ key: "/big/", end: "/big0" });
    call.end(Buffer.concat([messagePrefix(request.length), request]));
    let received = 0;
    let pongs = 0;
    let answers = 0;
    call.on("data", (chunk: Buffer) => (received += chunk.length));
    const ended = once(call, "end");
    await once(call, "response");
    const ping = () => void session.ping(() => pongs++);
    const small = async () => {
      while (!call.readableEnded && answers < 1000) {
        await api.client.call("/etcdserverpb.KV/Range", rangeRequest({ key: "/small" }));
        answers++;
        if (answers % 10 === 1) ping();
      }
    };
    await Promise.all([ended, small()]);
    assert.ok(received > COUNT * VALUE.length && received > 100_000_000, `received ${received} bytes`);
    assert.ok(pongs > 0 && answers > 0, `${pongs} pings and ${answers} calls were answered in between`);
  });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { connect as connectTls } from "node:tls";
import { Latest } from "@k3s/async";
import type { ConnectionLimits, Route, Routes, SupervisorOptions } from "../src/index.ts";
import { Client } from "./support/client.ts";
import { FakeApiserver } from "./support/fake-apiserver.ts";
import { fileScope } from "./support/scope.ts";
import { startListener } from "./support/start-listener.ts";
import { TestPki } from "./support/test-pki.ts";

const ATTACKER = "127.0.0.2";
const JOIN = "/v1-k3s/x";
const agent = { authorization: `Basic ${Buffer.from("node:se:cret").toString("base64")}` };
/** Nothing goes because a busy machine took its time. */
const PATIENT: Partial<ConnectionLimits> = { unprovenIdleMs: 300_000, unprovenTotalMs: 300_000 };

describe("one address without credentials", async () => {
  const pki = await TestPki.create(fileScope());
  const join: Route = { groups: ["k3s:agent"], answer: () => Promise.resolve({ body: "joined" }) };
  const routes: Routes = { paths: new Map([[JOIN, join]]), upgrades: new Map(), connect: undefined };

  async function setUp(
    t: TestContext,
    { limits, ...more }: Partial<Pick<SupervisorOptions, "limits" | "tokens">> = {},
  ) {
    const fake = await FakeApiserver.start(t, pki);
    const options = { pki, routes, apiserverPort: fake.port, limits: { ...PATIENT, ...limits }, ...more };
    const { port } = await startListener(t, options);
    return { fake, port, client: new Client(pki, port), attacker: new Client(pki, port, ATTACKER) };
  }

  async function tcp(t: TestContext, port: number, localAddress: string): Promise<Socket> {
    const socket = connect({ port, host: "127.0.0.1", localAddress });
    t.after(() => socket.destroy());
    socket.on("error", () => undefined);
    await once(socket, "connect");
    return socket;
  }

  /** What an agent does at first, and what a pod does, each with a connection of its own. */
  async function othersAreServed(client: Client): Promise<void> {
    assert.equal((await client.ask("http/1.1", { path: "/cacerts" })).text, pki.caOf("server-ca"));
    assert.equal((await client.ask("http/1.1", { path: JOIN, method: "POST", headers: agent })).text, "joined");
    const headers = { authorization: "Bearer of-a-service-account" };
    assert.equal((await client.ask("h2", { path: "/echo", headers })).status, 200);
  }

  test("with 400 silent connections pushes out none of another, however slow that is", async (t) => {
    const { port, client } = await setUp(t);
    const slow = await tcp(t, port, "127.0.0.1");
    const closed = new Latest(0);
    for (let begun = 0; begun < 400; begun += 50)
      await Promise.all(
        Array.from({ length: 50 }, async () => {
          const silent = await tcp(t, port, ATTACKER);
          silent.resume().once("close", () => closed.set(closed.get() + 1));
        }),
      );
    await closed.until((count) => count === 400 + 1 - 256, AbortSignal.timeout(60_000));
    const secured = connectTls({ socket: slow, ca: pki.caOf("server-ca"), host: "127.0.0.1" });
    await once(secured, "secureConnect");
    secured.write(
      `POST ${JOIN} HTTP/1.1\r\nHost: a\r\nAuthorization: ${agent.authorization}\r\nConnection: close\r\n\r\n`,
    );
    assert.match((await secured.toArray()).join(""), /^HTTP\/1\.1 200 .*joined$/s);
    await othersAreServed(client);
  });

  test("with 300 tokens that wait to be checked keeps nobody waiting, not even its own pods", async (t) => {
    const held = new Latest(0);
    const never = Promise.withResolvers<undefined>();
    const check = () => {
      held.set(held.get() + 1);
      return never.promise;
    };
    const { client, attacker } = await setUp(t, { tokens: { check } });
    for (const session of [attacker.http2(t), attacker.http2(t)])
      for (let i = 0; i < 150; i++) {
        const stream = session.request({ ":path": JOIN, authorization: `Bearer made-up-${i}` });
        stream.on("error", () => undefined).resume();
      }
    await held.until((count) => count === 300, AbortSignal.timeout(60_000));
    await othersAreServed(client);
    await othersAreServed(attacker);
    assert.equal(held.get(), 300);
    never.resolve(undefined);
  });

  test("that holds its share of requests at kube-apiserver gets 429, others do not", async (t) => {
    const { fake, client, attacker } = await setUp(t, {
      limits: { unprovenRequestsEachMax: 2, unprovenRequestsMax: 3 },
    });
    const arrived = new Latest(0);
    const left = new Latest(0);
    fake.onRequest = (_request, response) => {
      arrived.set(arrived.get() + 1);
      response.once("close", () => left.set(left.get() + 1));
    };
    const hold = async (from: Client) => {
      const before = arrived.get();
      const stream = from.http2(t).request({ ":path": "/slow" });
      stream.on("error", () => undefined);
      await arrived.until((count) => count > before, AbortSignal.timeout(60_000));
      return stream;
    };
    const headers = { authorization: "Bearer of-a-service-account" };
    const statusOf = async (from: Client) => (await from.ask("http/1.1", { path: "/echo", headers })).status;
    const [first] = [await hold(attacker), await hold(attacker)];
    assert.deepEqual([await statusOf(attacker), await statusOf(client)], [429, 200]);
    await hold(client);
    assert.deepEqual([await statusOf(attacker), await statusOf(client)], [429, 429]);
    first.close();
    await left.until((count) => count > 0, AbortSignal.timeout(60_000));
    assert.deepEqual([await statusOf(attacker), await statusOf(client)], [200, 200]);
  });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { describeError } from "@k3s/errors";
import { MetricsRegistry } from "@k3s/metrics";
import { freePort } from "@k3s/testkit";
import { dial, type Dial } from "../src/dial.ts";
import { LoadBalancer, LoadBalancerMetrics, type Health } from "../src/index.ts";
import {
  ask,
  askNew,
  closed,
  forkNamed,
  open,
  startBalancer,
  startNamed,
  startServer,
  startStalled,
  temporaryFolder,
  untilTrue,
} from "./arrange.ts";

const REFUSED = "127.0.0.1:1";
const stateOf = (balancer: LoadBalancer, address: string) =>
  balancer.servers().find((server) => server.address === address)?.state;

describe("LoadBalancer, dialling", () => {
  test("takes the default server while there is no list", async (t) => {
    const { address } = await startNamed(t);
    const { port } = await startBalancer(t, { serverUrl: `https://${address}` });
    assert.equal(await askNew(t, port), address);
  });

  test("leaves a server that refuses, and remembers", async (t) => {
    const { address } = await startNamed(t);
    const { balancer, port } = await startBalancer(t);
    await balancer.update([REFUSED, address]);
    for (let i = 0; i < 3; i++) assert.equal(await askNew(t, port), address);
    assert.equal(stateOf(balancer, address), "recovering");
  });

  test("dials the next server in the very turn in which one refuses, however well that did before", async (t) => {
    const first = await startNamed(t);
    const next = await startNamed(t);
    const events: string[] = [];
    const watched: Dial = (address, connected) => {
      events.push(`dial ${address}`);
      const socket = dial(address, connected);
      socket.once("error", () => {
        events.push(`refused by ${address}`);
        setImmediate(() => events.push("next turn"));
      });
      return socket;
    };
    const { balancer, port } = await startBalancer(t, { dial: watched });
    let health: Health = "ok";
    balancer.setHealthCheck(first.address, () => health);
    await balancer.update([first.address, next.address]);
    await untilTrue("it is preferred", () => stateOf(balancer, first.address) === "preferred");
    assert.equal(await askNew(t, port), first.address);
    assert.equal(stateOf(balancer, first.address), "active");
    health = "unknown";
    await first.close();
    events.length = 0;
    assert.equal(await askNew(t, port), next.address);
    assert.deepEqual(events.slice(0, 3), [
      `dial ${first.address}`,
      `refused by ${first.address}`,
      `dial ${next.address}`,
    ]);
  });

  test("leaves a server that does not answer, and remembers", async (t) => {
    const { address } = await startNamed(t);
    const stalled = await startStalled(t);
    const { balancer, port } = await startBalancer(t);
    let health: Health = "ok";
    balancer.setHealthCheck(stalled.address, () => health);
    await balancer.update([stalled.address]);
    await untilTrue("it is preferred", () => stateOf(balancer, stalled.address) === "preferred");
    health = "unknown";
    await balancer.update([stalled.address, address]);
    assert.equal(await askNew(t, port), address);
    assert.equal(stateOf(balancer, stalled.address), "failed");
  });

  test("comes back to a server that was stalled, when it is the only one", async (t) => {
    const stalled = await startStalled(t);
    const { balancer, port } = await startBalancer(t);
    await balancer.update([stalled.address]);
    const client = await open(t, port);
    const answer = ask(client);
    stalled.child.kill("SIGCONT");
    assert.equal(await answer, stalled.address);
  });

  test("lets many clients wait for one stalled server together", async (t) => {
    const { address } = await startNamed(t);
    const stalled = await startStalled(t);
    const { balancer, port } = await startBalancer(t);
    balancer.setHealthCheck(stalled.address, () => "ok");
    await balancer.update([stalled.address]);
    await untilTrue("it is preferred", () => stateOf(balancer, stalled.address) === "preferred");
    balancer.setHealthCheck(stalled.address, undefined);
    await balancer.update([stalled.address, address]);
    const answers = await Promise.all(Array.from({ length: 20 }, () => askNew(t, port)));
    assert.deepEqual(new Set(answers), new Set([address]));
  });

  test("tries a server that comes into the list while it dials, and leaves one that goes", async (t) => {
    const stalled = await startStalled(t);
    const { balancer, port } = await startBalancer(t);
    await balancer.update([stalled.address]);
    const client = await open(t, port);
    const answer = ask(client);
    const { address } = await startNamed(t);
    await balancer.update([address]);
    assert.equal(await answer, address);
    assert.equal(stateOf(balancer, stalled.address), undefined);
  });

  test("closes a client for whom there is no server, and says so once", async (t) => {
    const { balancer, port, lines } = await startBalancer(t);
    await balancer.update([REFUSED]);
    for (let i = 0; i < 5; i++) assert.equal(await askNew(t, port), undefined);
    const said = lines.filter(({ msg }) => msg === "no server can be reached");
    assert.deepEqual(
      said.map(({ error }) => error),
      [`connect ECONNREFUSED ${REFUSED}`],
    );
    const { address } = await startNamed(t);
    await balancer.update([address]);
    assert.equal(await askNew(t, port), address);
    assert.equal(lines.filter(({ msg }) => msg === "a server can be reached again").length, 1);
  });

  test("knows why no server can be reached, until one is", async (t) => {
    const { balancer, port } = await startBalancer(t, { serverUrl: "https://nosuch.invalid:6443" });
    assert.equal(balancer.dialError, undefined);
    await askNew(t, port);
    assert.match(describeError(balancer.dialError), /^getaddrinfo \w+ nosuch\.invalid$/);
    await balancer.update([REFUSED]);
    assert.equal(balancer.dialError, undefined);
    await askNew(t, port);
    const both = /^nosuch\.invalid:6443: getaddrinfo \w+ nosuch\.invalid; 127\.0\.0\.1:1: connect ECONNREFUSED \S+$/;
    assert.match(describeError(balancer.dialError), both);
    const { address } = await startNamed(t);
    await balancer.update([REFUSED, address]);
    assert.equal(await askNew(t, port), address);
    assert.equal(balancer.dialError, undefined);
  });

  test("serves again after all servers were down", async (t) => {
    const { address, close } = await startNamed(t);
    const { balancer, port } = await startBalancer(t);
    await balancer.update([address, REFUSED]);
    const client = await open(t, port);
    assert.equal(await ask(client), address);
    await close();
    await closed(client);
    assert.equal(await askNew(t, port), undefined);
    await startNamed(t, Number(address.split(":")[1]));
    assert.equal(await askNew(t, port), address);
  });

  test("follows servers that take turns", async (t) => {
    const { balancer, port } = await startBalancer(t);
    const ports = [await freePort(), await freePort()];
    await balancer.update(ports.map((each) => `127.0.0.1:${each}`));
    for (let turn = 0; turn < 10; turn++) {
      const { address, close } = await startNamed(t, ports[turn % 2]);
      const client = await open(t, port);
      assert.equal(await ask(client), address);
      await close();
      await closed(client);
    }
  });

  test("does not dial itself", async (t) => {
    const { address } = await startNamed(t);
    const { balancer, port } = await startBalancer(t);
    await balancer.update([`127.0.0.1:${port}`, `localhost:${port}`, "no address", address]);
    assert.deepEqual(
      balancer
        .servers()
        .map((server) => server.address)
        .sort(),
      [REFUSED, address].sort(),
    );
    assert.equal(await askNew(t, port), address);
  });

  test("ignores an empty list", async (t) => {
    const { address } = await startNamed(t);
    const { balancer, port } = await startBalancer(t);
    await balancer.update([address]);
    await balancer.update([]);
    assert.equal(await askNew(t, port), address);
  });
});

describe("LoadBalancer, health", () => {
  test("closes the connections of a frozen server whose health check fails", async (t) => {
    const servers = [await forkNamed(t), await forkNamed(t)];
    const { balancer, port, lines } = await startBalancer(t);
    const health = new Map<string, Health>(servers.map(({ address }) => [address, "ok"]));
    for (const { address } of servers) balancer.setHealthCheck(address, () => health.get(address) ?? "unknown");
    await balancer.update(servers.map(({ address }) => address));
    await untilTrue("both are preferred", () =>
      balancer.servers().every(({ state }) => state === "preferred" || state === "standby"),
    );
    const client = await open(t, port);
    const first = await ask(client);
    const frozen = servers.find(({ address }) => address === first);
    assert.ok(first !== undefined && frozen !== undefined);
    assert.equal(stateOf(balancer, first), "active");
    frozen.child.kill("SIGSTOP");
    client.write("unanswered\n");
    health.set(first, "failed");
    balancer.healthChanged(first);
    await closed(client);
    const second = await askNew(t, port);
    assert.ok(second !== undefined && second !== first);
    assert.equal(stateOf(balancer, first), "failed");
    const failure = lines.find(({ state }) => state === "failed");
    assert.equal(failure?.["connectionsClosed"], 1);
    assert.equal(failure["level"], "warn");
    frozen.child.kill("SIGCONT");
    health.set(first, "ok");
    await untilTrue("it is preferred again", () => stateOf(balancer, first) === "preferred");
  });

  test("takes clients from a frozen server they were given for want of a better one", async (t) => {
    const frozen = await forkNamed(t);
    const { balancer, port } = await startBalancer(t);
    await balancer.update([frozen.address, REFUSED]);
    frozen.child.kill("SIGSTOP");
    balancer.setHealthCheck(frozen.address, () => "failed");
    const client = await open(t, port);
    client.write("unanswered\n");
    await untilTrue("it is let in", () => balancer.servers().some(({ connections }) => connections === 1));
    const { address } = await startNamed(t);
    balancer.setHealthCheck(address, () => "ok");
    await balancer.update([frozen.address, address]);
    await closed(client);
    assert.equal(await askNew(t, port), address);
  });

  test("closes the connections of a server that is removed", async (t) => {
    const { address } = await startNamed(t);
    const other = await startNamed(t);
    const { balancer, port } = await startBalancer(t);
    await balancer.update([address]);
    const client = await open(t, port);
    assert.equal(await ask(client), address);
    await balancer.update([other.address]);
    await closed(client);
    assert.equal(await askNew(t, port), other.address);
  });
});

describe("LoadBalancer, server list on disk", () => {
  const FILE = "test-balancer.json";
  const readFrom = async (folder: string): Promise<unknown> => JSON.parse(await readFile(join(folder, FILE), "utf8"));

  test("survives a restart without the configured server", async (t) => {
    const { address } = await startNamed(t);
    const first = await startBalancer(t);
    await first.balancer.update([address]);
    assert.deepEqual(await readFrom(first.folder), { ServerURL: "https://127.0.0.1:1", ServerAddresses: [address] });
    await first.balancer.stop(AbortSignal.abort());
    const second = await startBalancer(t, { folder: first.folder });
    assert.equal(await askNew(t, second.port), address);
  });

  test("is written anew when another server is configured", async (t) => {
    const folder = await temporaryFolder(t);
    await writeFile(join(folder, FILE), '{"ServerURL":"https://10.0.0.9:6443","ServerAddresses":["10.0.0.9:6443"]}');
    const { balancer } = await startBalancer(t, { folder });
    assert.deepEqual(
      balancer.servers().map(({ address }) => address),
      [REFUSED],
    );
    assert.deepEqual(await readFrom(folder), { ServerURL: "https://127.0.0.1:1", ServerAddresses: [] });
  });

  test("is written anew when it cannot be read", async (t) => {
    const folder = await temporaryFolder(t);
    await writeFile(join(folder, FILE), '{"ServerURL');
    const { lines } = await startBalancer(t, { folder });
    assert.ok(lines.some(({ level }) => level === "warn"));
    assert.deepEqual(await readFrom(folder), { ServerURL: "https://127.0.0.1:1", ServerAddresses: [] });
  });

  test("follows the default server", async (t) => {
    const { address } = await startNamed(t);
    const { balancer, folder, port } = await startBalancer(t);
    await balancer.setDefault(address);
    assert.deepEqual(await readFrom(folder), { ServerURL: `https://${address}`, ServerAddresses: [] });
    assert.equal(await askNew(t, port), address);
  });
});

describe("LoadBalancer, listening", () => {
  test("has the port on the other loopback address too", async (t) => {
    const { address } = await startNamed(t);
    const { port } = await startBalancer(t, { serverUrl: `https://${address}`, listen: { host: "::1", port: 0 } });
    assert.equal(await askNew(t, port), address);
  });

  test("says who to ask when the port is taken", async (t) => {
    const holder = createServer().listen(0, "127.0.0.1");
    t.after(() => holder.close());
    await once(holder, "listening");
    const taken = holder.address();
    assert.ok(typeof taken === "object" && taken !== null);
    await assert.rejects(startBalancer(t, { listen: { host: "127.0.0.1", port: taken.port } }), {
      code: "ERR_LB_ADDRESS_IN_USE",
      message: `Cannot listen on 127.0.0.1:${taken.port}: another program does`,
    });
  });

  test("stop() ends idle connections without waiting, and may be called at any time", async (t) => {
    const { address } = await startNamed(t);
    const { balancer, port } = await startBalancer(t, { serverUrl: `https://${address}` });
    const client = await open(t, port);
    assert.equal(await ask(client), address);
    await Promise.all([balancer.stop(new AbortController().signal), balancer.stop(new AbortController().signal)]);
    await closed(client);
    await assert.rejects(open(t, port), { code: "ECONNREFUSED" });
    await balancer.stop(AbortSignal.abort());
  });

  test("stop() lets a transfer go on until it is told to hurry", async (t) => {
    const { address } = await startServer(t, (socket) => {
      const send = () => {
        while (!socket.destroyed && socket.write(Buffer.alloc(16 << 10)));
      };
      socket.on("drain", send);
      send();
    });
    const { balancer, port } = await startBalancer(t, { serverUrl: `https://${address}` });
    const client = await open(t, port);
    client.resume();
    await once(client, "data");
    const hurry = new AbortController();
    const stopped = balancer.stop(hurry.signal);
    const before = client.bytesRead;
    await untilTrue("more has come", () => client.bytesRead > before + (50 << 20));
    hurry.abort();
    await stopped;
    await closed(client);
  });
});

test("LoadBalancerMetrics shows each server, and how long dials take", async (t) => {
  const registry = new MetricsRegistry();
  const { address } = await startNamed(t);
  const { balancer, port } = await startBalancer(t, { metrics: new LoadBalancerMetrics(registry) });
  assert.equal(await askNew(t, port), undefined);
  await balancer.update([address]);
  const client = await open(t, port);
  await ask(client);
  const text = await registry.text();
  for (const line of [
    `k3s_loadbalancer_server_health{name="test-balancer",server="127.0.0.1:1"} 2`,
    `k3s_loadbalancer_server_health{name="test-balancer",server="${address}"} 4`,
    `k3s_loadbalancer_server_connections{name="test-balancer",server="${address}"} 1`,
    `k3s_loadbalancer_dial_duration_seconds_count{name="test-balancer",status="success"} 1`,
    `k3s_loadbalancer_dial_duration_seconds_count{name="test-balancer",status="error"} 1`,
  ])
    assert.ok(text.split("\n").includes(line), `${line} in\n${text}`);
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EtcdClient } from "@k3s/etcd-client";
import { ComponentManager } from "@k3s/lifecycle";
import { ensurePasswd } from "@k3s/token";
import { agreement } from "../src/agreement.ts";
import { EarlierServers } from "../src/earlier-servers.ts";
import { ServerError } from "../src/errors.ts";
import { earlierAddresses, MasterLeases } from "../src/serving-addresses.ts";
import { startDatastore, type SharedDatastore } from "./support/shared-datastore.ts";
import { configured, identity, startPeer, type Configured, type Peer, type PeerOptions } from "./support/peer.ts";

const limit = () => AbortSignal.timeout(60_000);
const lost = () => assert.fail("lost");

function differs(domain: string, there: string) {
  return (error: unknown) => {
    assert.ok(error instanceof ServerError);
    assert.equal(error.code, "ERR_SERVERS_DIFFER");
    assert.ok(error.message.includes(`--cluster-domain: here ${domain}, there ${there}`), error.message);
    return true;
  };
}

/** The peer is known to the others from here on. */
function leases(datastore: SharedDatastore, { config, log }: Configured): MasterLeases {
  const { etcdAccess: etcd } = datastore;
  return new MasterLeases({ etcd, address: config.advertiseAddress, isDead: () => false, log });
}

const partsOf = ({ config, log }: Configured, datastore: SharedDatastore) => ({ config, datastore, host: { log } });

describe("agreement()", { concurrency: true }, () => {
  test("compares with the server named by --server, and names both values of what differs", async (t) => {
    const datastore = await startDatastore(t);
    const folder = await identity(t);
    const other = await startPeer(t, { folder, address: "127.0.0.2" });
    const settings = { folder, address: "127.0.0.1", port: other.config.httpsListenPort, server: other.url };
    const same = await configured(settings);
    await agreement(partsOf(same, datastore)).start({ signal: limit(), lost });
    assert.match(same.lines.join(""), /settings agree/);
    const different = await configured({ ...settings, address: "127.0.0.3", domain: "other.local" });
    const comparing = agreement(partsOf(different, datastore)).start({ signal: limit(), lost });
    await assert.rejects(comparing, differs("other.local", "cluster.local"));
  });

  test("asks a server that the datastore knows when the one of --server does not answer", async (t) => {
    const datastore = await startDatastore(t);
    const folder = await identity(t);
    const other = await startPeer(t, { folder, address: "127.0.0.2" });
    await leases(datastore, other).current(limit());
    const port = other.config.httpsListenPort;
    const own = await configured({
      folder,
      address: "127.0.0.1",
      port,
      server: "https://127.0.0.1:1",
      domain: "x.local",
    });
    const comparing = agreement(partsOf(own, datastore)).start({ signal: limit(), lost });
    await assert.rejects(comparing, differs("x.local", "cluster.local"));
  });

  test("refuses a node with the name of the other server's, unless one of the two is none, or both are the same", async (t) => {
    const datastore = await startDatastore(t);
    const folder = await identity(t);
    const nodeName = "twin";
    const compare = async (other: Peer, settings: Partial<PeerOptions>) => {
      const rest = { folder, port: other.config.httpsListenPort, server: other.url };
      const own = await configured({ address: "127.0.0.1", nodeName, ...rest, ...settings });
      await agreement(partsOf(own, datastore)).start({ signal: limit(), lost });
      assert.match(own.lines.join(""), /settings agree/);
    };
    const twin = await startPeer(t, { folder, address: "127.0.0.2", nodeName });
    await assert.rejects(compare(twin, {}), (error) => {
      assert.ok(error instanceof ServerError);
      assert.equal(error.code, "ERR_SERVER_NODE_NAME");
      assert.ok(error.message.includes(twin.url) && error.message.includes('"twin"'), error.message);
      return true;
    });
    await compare(twin, { disableAgent: true });
    await compare(twin, { address: "127.0.0.2" });
    await compare(await startPeer(t, { folder, address: "127.0.0.3", nodeName, disableAgent: true }), {});
  });

  test("goes on with a warning when nobody answers", async (t) => {
    const datastore = await startDatastore(t);
    const own = await configured({ folder: await identity(t), address: "127.0.0.1", server: "https://127.0.0.1:1" });
    await agreement(partsOf(own, datastore)).start({ signal: limit(), lost });
    assert.match(own.lines.join(""), /WARN.*settings could not be compared.*ECONNREFUSED/);
  });

  test("refuses a --server of another cluster", async (t) => {
    const datastore = await startDatastore(t);
    const other = await startPeer(t, { folder: await identity(t), address: "127.0.0.2" });
    const own = await configured({ folder: await identity(t), address: "127.0.0.1", server: other.url });
    const comparing = agreement(partsOf(own, datastore)).start({ signal: limit(), lost });
    await assert.rejects(comparing, (error) => error instanceof ServerError && error.code === "ERR_SERVER_FOREIGN");
  });
});

describe("EarlierServers", { concurrency: true }, () => {
  test("ends the later of two servers that started together, and lets the earlier one stay", async (t) => {
    const datastore = await startDatastore(t);
    const folder = await identity(t);
    const one = await startPeer(t, { folder, address: "127.0.0.2" });
    const port = one.config.httpsListenPort;
    const two = await configured({ folder, address: "127.0.0.1", port, domain: "two.local" });
    for (const peer of [one, two]) await agreement(partsOf(peer, datastore)).start({ signal: limit(), lost });
    for (const peer of [one, two, one]) await leases(datastore, peer).current(limit());
    const client = await EtcdClient.create(datastore.etcdAccess);
    t.after(() => client.close());
    const before = (address: string) => earlierAddresses(client, address);
    assert.deepEqual([await before("127.0.0.2"), await before("127.0.0.1")], [[], ["127.0.0.2"]]);
    await new EarlierServers(partsOf(one, datastore)).start({ signal: limit(), lost });
    const later = new EarlierServers(partsOf(two, datastore));
    await assert.rejects(later.start({ signal: limit(), lost }), differs("two.local", "cluster.local"));
  });

  test("says once what to do about one that still has the token of before, and goes on asking", async (t) => {
    const datastore = await startDatastore(t);
    const folder = await identity(t);
    const one = await startPeer(t, { folder, address: "127.0.0.2" });
    const port = one.config.httpsListenPort;
    await ensurePasswd({ serverDir: one.config.paths.serverDir, token: "new", agentToken: undefined });
    const two = await configured({ folder, address: "127.0.0.1", port, domain: "two.local" });
    for (const peer of [one, two]) await leases(datastore, peer).current(limit());
    const manager = new ComponentManager([new EarlierServers(partsOf(two, datastore))]);
    t.after(() => manager.stop(AbortSignal.abort()));
    await manager.start(limit());
    const [warning, ...more] = two.lines.filter((line) => line.includes("cannot be compared with an earlier server"));
    assert.match(warning ?? "", /WARN.*https:\/\/127\.0\.0\.2:\d+: it does not accept the token of this server/);
    assert.match(warning ?? "", /restart that server with the content of server\/token/);
    const ended = new Promise((resolve) => manager.lost.addEventListener("abort", resolve, { once: true }));
    await one.stop();
    await startPeer(t, { folder, address: "127.0.0.2", port });
    await ended;
    assert.ok(differs("two.local", "cluster.local")(manager.lost.reason));
    assert.deepEqual(more, []);
  });

  test("asks one that does not answer again, and ends the server when its settings differ", async (t) => {
    const datastore = await startDatastore(t);
    const folder = await identity(t);
    const one = await startPeer(t, { folder, address: "127.0.0.2" });
    const port = one.config.httpsListenPort;
    const two = await configured({ folder, address: "127.0.0.1", port, domain: "two.local" });
    for (const peer of [one, two]) await leases(datastore, peer).current(limit());
    await one.stop();
    const manager = new ComponentManager([new EarlierServers(partsOf(two, datastore))]);
    t.after(() => manager.stop(AbortSignal.abort()));
    await manager.start(limit());
    assert.equal(manager.lost.aborted, false);
    const ended = new Promise((resolve) => manager.lost.addEventListener("abort", resolve, { once: true }));
    await startPeer(t, { folder, address: "127.0.0.2", port });
    await ended;
    assert.ok(differs("two.local", "cluster.local")(manager.lost.reason));
  });
});

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFile, rm, stat } from "node:fs/promises";
import { describe, test } from "node:test";
import { ClusterError, trustCluster } from "@k3s/cluster-client";
import { agentPaths } from "@k3s/pki";
import { TokenError } from "@k3s/token";
import { FaultProxy, until } from "@k3s/testkit";
import { AgentError } from "../src/errors.ts";
import { joinCluster } from "../src/join-cluster.ts";
import { goNetwork, startCluster, type Cluster } from "./support/cluster.ts";

const join = ({ config, url, log }: Cluster) => joinCluster({ config, server: url, log }, AbortSignal.timeout(60_000));
const linesOf = ({ lines }: Cluster, level: string) => lines.filter((line) => line.includes(level));
/** The first line that says what it waits for. */
const waiting = (cluster: Cluster) =>
  until("it says that it waits", () =>
    Promise.resolve(linesOf(cluster, "WARN").find((line) => line.includes("waiting"))),
  );

describe("joinCluster()", { concurrency: true }, () => {
  test("leaves certificates for this node's own keys, the CAs and the cluster's settings, for root alone", async (t) => {
    const cluster = await startCluster(t);
    const settings = await join(cluster);
    assert.deepEqual(settings.clusterDns, ["10.43.0.10"]);
    const { paths } = cluster.config;
    const files = agentPaths(paths.agentDir);
    const ca = new X509Certificate(await readFile(files.clientCa));
    const own = new X509Certificate(await readFile(files.clientKubelet.cert));
    assert.ok(own.verify(ca.publicKey));
    assert.match(own.subject, /CN=system:node:rack-1/);
    const secrets = [files.clientKubelet.key, files.servingKubelet.cert, files.kubeletKubeconfig, files.serverCa];
    for (const path of [...secrets, paths.nodePasswordFile, paths.clusterConfigFile])
      assert.equal((await stat(path)).mode & 0o777, 0o600, path);
    assert.deepEqual(linesOf(cluster, "ERROR"), []);
  });

  test("asks a server that is not ready again and again, after longer and longer waits", async (t) => {
    const cluster = await startCluster(t);
    const { behaviour } = cluster;
    behaviour.status = 503;
    const joining = join(cluster);
    await until("it has asked three times", () => Promise.resolve(behaviour.askedAtMs.length === 3));
    behaviour.status = 200;
    await joining;
    const [first = 0, second = 0, third = 0, fourth = 0] = behaviour.askedAtMs;
    assert.equal(behaviour.askedAtMs.length, 4);
    // A timer may fire a little early by this clock.
    assert.ok(second - first > 1_900, `${second - first} ms`);
    assert.ok(third - second > 3_900, `${third - second} ms`);
    assert.ok(fourth - third > 7_900, `${fourth - third} ms`);
    assert.match(linesOf(cluster, "WARN").join(""), /waiting to join the cluster.*not yet/s);
  });

  test("says of a server that is too old what to do, and joins once that is done", async (t) => {
    const cluster = await startCluster(t);
    const { behaviour } = cluster;
    const good = behaviour.document;
    behaviour.document = { ...good, ServiceNodePortRange: { Base: 0, Size: 0 } };
    const joining = join(cluster);
    const warning = await waiting(cluster);
    assert.match(warning, /incompatible down-level server detected/);
    assert.match(warning, /Upgrade the servers to at least v1\.22/);
    behaviour.document = good;
    await joining;
  });

  test("waits for a server that is not there yet", async (t) => {
    const cluster = await startCluster(t);
    await cluster.stop();
    const joining = join(cluster);
    const warning = await waiting(cluster);
    assert.match(warning, /waiting for a server of the cluster/);
    assert.match(warning, /ECONNREFUSED/);
    await cluster.start();
    await joining;
  });

  test("takes a cluster that was set up anew while it waits, if the token is for that one too", async (t) => {
    const cluster = await startCluster(t);
    const { behaviour, config } = cluster;
    behaviour.status = 503;
    const joining = join(cluster);
    await waiting(cluster);
    await cluster.replace();
    behaviour.status = 200;
    await joining;
    const { serverCa } = agentPaths(config.paths.agentDir);
    const answer = await trustCluster({
      server: cluster.url,
      token: "secret",
      user: "node",
      log: cluster.log,
      signal: AbortSignal.timeout(10_000),
    });
    assert.deepEqual(await readFile(serverCa), answer.ca);
  });

  test("ends when the cluster that was set up anew while it waits is not the one of the token", async (t) => {
    const cluster = await startCluster(t);
    const { behaviour, config } = cluster;
    const { token } = await trustCluster({
      server: cluster.url,
      token: "secret",
      user: "node",
      log: cluster.log,
      signal: AbortSignal.timeout(10_000),
    });
    behaviour.status = 503;
    const joining = join({ ...cluster, config: { ...config, token } });
    const ended = assert.rejects(
      joining,
      (error) => error instanceof TokenError && error.code === "ERR_TOKEN_CA_MISMATCH",
    );
    await waiting(cluster);
    await cluster.replace();
    behaviour.status = 200;
    await ended;
  });

  test("joins over a path on which every byte is late", async (t) => {
    const cluster = await startCluster(t);
    const late = { delayMs: 250 };
    const target = { port: Number(new URL(cluster.url).port) };
    const proxy = await FaultProxy.start({ target, toTarget: late, toClient: late });
    t.after(() => proxy.stop());
    await join({ ...cluster, url: `https://127.0.0.1:${proxy.port}` });
    assert.deepEqual(linesOf(cluster, "waiting"), []);
  });

  test("ends at once where waiting cannot help", async (t) => {
    const cluster = await startCluster(t);
    const named = { ...cluster.config, server: "https://srv1:6443" };
    const asked = (token: string | undefined) => join({ ...cluster, config: { ...named, token } });
    const foreign = asked(`K10${"0".repeat(64)}::node:secret`);
    await assert.rejects(foreign, (error) => error instanceof TokenError && error.code === "ERR_TOKEN_CA_MISMATCH");
    await assert.rejects(asked("wrong"), (error) => {
      assert.ok(error instanceof ClusterError && error.isFinal);
      assert.match(
        error.message,
        /^Cannot join at https:\/\/srv1:6443 \(through 127\.0\.0\.1:\d+\): the server does not accept/,
      );
      return true;
    });
    await assert.rejects(asked(undefined), TokenError);
  });

  test("ends with one line when its addresses are of another family than the cluster's", async (t) => {
    const cluster = await startCluster(t);
    const { behaviour, config } = cluster;
    const ranges = { ClusterIPRanges: [goNetwork("fd00:42::/56")], ServiceIPRanges: [goNetwork("fd00:43::/112")] };
    behaviour.document = { ...behaviour.document, ...ranges };
    await assert.rejects(join({ ...cluster, config: { ...config, nodeIp: ["10.0.0.2"] } }), (error) => {
      assert.ok(error instanceof AgentError);
      assert.match(error.message, /^Cannot join the cluster: --node-ip must have .*: they are IPv4 and IPv6$/);
      return true;
    });
    const files = agentPaths(config.paths.agentDir);
    await assert.rejects(stat(files.servingKubelet.cert), { code: "ENOENT" });
    assert.deepEqual(linesOf(cluster, "waiting"), []);
  });

  test("proves the addresses that the cluster has a use for, its first family first", async (t) => {
    const cluster = await startCluster(t);
    const { behaviour, config } = cluster;
    const pods = ["fd00:42::/56", "10.42.0.0/16"].map(goNetwork);
    const services = ["fd00:43::/112", "10.43.0.0/16"].map(goNetwork);
    const found = { ...cluster, config: { ...config, nodeIp: ["10.0.0.2", "2001:db8::2"] } };
    await join(found);
    assert.deepEqual(behaviour.nodeIps, ["10.0.0.2", "10.0.0.2"]);
    behaviour.document = { ...behaviour.document, ClusterIPRanges: pods, ServiceIPRanges: services };
    await join(found);
    assert.deepEqual(behaviour.nodeIps.slice(2), ["2001:db8::2,10.0.0.2", "2001:db8::2,10.0.0.2"]);
  });

  test("needs no token where an earlier join left a certificate", async (t) => {
    const cluster = await startCluster(t);
    await join(cluster);
    const files = agentPaths(cluster.config.paths.agentDir);
    const before = await readFile(files.servingKubelet.cert, "utf8");
    await rm(cluster.config.paths.clusterConfigFile);
    await join({ ...cluster, config: { ...cluster.config, token: undefined } });
    assert.notEqual(await readFile(files.servingKubelet.cert, "utf8"), before);
  });
});

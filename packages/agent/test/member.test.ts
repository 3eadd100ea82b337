import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { ComponentManager } from "@k3s/lifecycle";
import { freePort, until } from "@k3s/testkit";
import { Member } from "../src/member.ts";
import { goNetwork, startCluster } from "./support/cluster.ts";

test("Member becomes a node with the addresses that its cluster has a use for", async (t) => {
  const { config, behaviour, log } = await startCluster(t);
  const ranges = { ClusterIPRanges: [goNetwork("fd00:42::/56")], ServiceIPRanges: [goNetwork("fd00:43::/112")] };
  behaviour.document = { ...behaviour.document, ...ranges };
  const found = { ...config, nodeIp: ["10.0.0.2", "2001:db8::2"], lbServerPort: await freePort() };
  const member = new Member(found, log);
  const way = new ComponentManager(member.components);
  t.after(() => way.stop(AbortSignal.abort()));
  await way.start(t.signal);
  const joined = await member.join(t.signal);
  t.after(() => Promise.all(joined.components.map((component) => component.stop(AbortSignal.abort()))));
  assert.deepEqual(joined.config.nodeIp, ["2001:db8::2"]);
  assert.equal(joined.config.loopbackAddress, "::1");
});

test("Member reaches the server of its configuration alone where the balancer is switched off", async (t) => {
  const { config, log, url } = await startCluster(t);
  const member = new Member({ ...config, disableApiserverLb: true, lbServerPort: 0 }, log);
  assert.deepEqual([member.components, member.server], [[], url]);
  const joined = await member.join(t.signal);
  t.after(() => Promise.all(joined.components.map((component) => component.stop(AbortSignal.abort()))));
  const kubeconfig = await readFile(`${config.paths.agentDir}/kubelet.kubeconfig`, "utf8");
  assert.ok(kubeconfig.includes(`server: ${url}`), kubeconfig);
});

test("Member says why it cannot reach its server, and not what its own balancer does then", async (t) => {
  const cluster = await startCluster(t);
  const { config, log, lines, url } = cluster;
  await cluster.stop();
  const member = new Member({ ...config, lbServerPort: await freePort() }, log);
  const way = new ComponentManager(member.components);
  t.after(() => way.stop(AbortSignal.abort()));
  await way.start(t.signal);
  const joining = member.join(t.signal);
  const line = await until("it says that it waits", () =>
    Promise.resolve(lines.find((one) => one.includes("waiting for a server"))),
  );
  assert.ok(line.includes(`"Cannot reach server ${url}: connect ECONNREFUSED ${new URL(url).host}"`), line);
  await cluster.start();
  const joined = await joining;
  t.after(() => Promise.all(joined.components.map((component) => component.stop(AbortSignal.abort()))));
});

test("Member says that a proxy is in vain where the balancer is switched off", async (t) => {
  const { config, log, lines } = await startCluster(t);
  const env = { HTTPS_PROXY: "http://192.0.2.1:3128", K3S_AGENT_HTTP_PROXY_ALLOWED: "true" };
  const url = new URL(config.server);
  const far = { ...config, server: `https://server.test:${url.port}`, disableApiserverLb: true };
  const member = new Member(far, log, { env });
  assert.deepEqual(member.components, []);
  const said = lines.join("");
  assert.match(said, /WARN.*K3S_AGENT_HTTP_PROXY_ALLOWED has no effect beside --disable-apiserver-lb/);
  assert.doesNotMatch(said, /reached through the proxy/);
});

test("Member joins through the proxy of the environment, where that is allowed", async (t) => {
  const { config, log, url } = await startCluster(t);
  const asked: (string | undefined)[] = [];
  const proxy = createServer().on("connect", (request, socket: Socket) => {
    asked.push(request.url);
    const onward = connect(Number(new URL(url).port), "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      socket.pipe(onward).pipe(socket);
    });
    for (const one of [socket, onward]) one.on("error", () => one.destroy());
    t.after(() => onward.destroy());
  });
  t.after(() => proxy.close());
  await once(proxy.listen(0, "127.0.0.1"), "listening");
  // Sound: a server that listens on TCP has an address of this form.
  const env = { HTTPS_PROXY: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` };
  const far = { ...config, server: "https://server.test:6443", lbServerPort: await freePort() };
  const member = new Member(far, log, { env: { ...env, K3S_AGENT_HTTP_PROXY_ALLOWED: "true" } });
  const way = new ComponentManager(member.components);
  t.after(() => way.stop(AbortSignal.abort()));
  await way.start(t.signal);
  const joined = await member.join(t.signal);
  t.after(() => Promise.all(joined.components.map((component) => component.stop(AbortSignal.abort()))));
  assert.equal(asked[0], "server.test:6443");
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { connect } from "node:tls";
import { loadServerConfig, type ServerConfig } from "@k3s/config";
import { createLogger } from "@k3s/log";
import { ensureServerPki } from "@k3s/pki";
import { ensurePasswd } from "@k3s/token";
import { Supervisor } from "../src/supervisor.ts";

const log = createLogger({ level: "error", format: "json", write: () => undefined });

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Of a machine with one address. */
async function loadConfig(folder: string, port: number): Promise<ServerConfig> {
  const flags = {
    "data-dir": folder,
    "https-listen-port": `${port}`,
    "bind-address": "127.0.0.1",
    "node-name": "node-1",
    "tls-san": "api.example",
  };
  return await loadServerConfig({
    flags: new Map(Object.entries(flags).map(([name, text]) => [name, [text]])),
    unknownFlags: [],
    env: { K3S_CONFIG_FILE: "/dev/null" },
    host: {
      hostname: "node-1",
      isRoot: true,
      home: folder,
      addresses: { 4: "192.0.2.7" },
      everyAddress: ["127.0.0.1", "192.0.2.7"],
      groups: new Map(),
    },
    signal: AbortSignal.timeout(10_000),
  });
}

async function startSupervisor(t: TestContext): Promise<{ supervisor: Supervisor; port: number }> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-supervisor-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const port = await freePort();
  const config = await loadConfig(folder, port);
  const { serverDir } = config.paths;
  const { clusterDomain, servingSans: sans } = config;
  await ensureServerPki({ serverDir, clusterDomain, sans, apiServerUrl: "https://127.0.0.1:6444" });
  await ensurePasswd({ serverDir, token: undefined, agentToken: undefined });
  const supervisor = new Supervisor({
    config,
    routes: { paths: new Map(), upgrades: new Map(), connect: undefined },
    tokens: { check: () => Promise.resolve(undefined) },
    log,
  });
  t.after(() => supervisor.stop(AbortSignal.abort()));
  await supervisor.start();
  return { supervisor, port };
}

/** The names of the certificate that a client with this server name gets to see. */
async function namesFor(t: TestContext, port: number, servername: string): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", servername, rejectUnauthorized: false });
  t.after(() => socket.destroy());
  await once(socket, "secureConnect");
  return socket.getPeerCertificate().subjectaltname ?? "";
}

test("the certificate takes names of strangers until the API serves, and its own ones always", async (t) => {
  const { supervisor, port } = await startSupervisor(t);
  assert.match(await namesFor(t, port, "early.example"), /DNS:early\.example/);
  supervisor.setApiserverReady(true);
  const names = await namesFor(t, port, "late.example");
  assert.doesNotMatch(names, /late\.example/);
  for (const own of ["DNS:node-1", "DNS:api.example", "DNS:early.example"]) assert.ok(names.includes(own), own);
  supervisor.setApiserverReady(false);
  assert.doesNotMatch(await namesFor(t, port, "later.example"), /later\.example/);
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { connect } from "node:tls";
import { createLogger } from "@k3s/log";
import { ensureServerPki } from "@k3s/pki";
import { freePort, until } from "@k3s/testkit";
import { ensurePasswd } from "@k3s/token";
import { Supervisor } from "../src/supervisor.ts";
import { loadConfig } from "./support/load-config.ts";

const log = createLogger({ level: "error", format: "json", write: () => undefined });

async function startSupervisor(t: TestContext): Promise<{ supervisor: Supervisor; port: number }> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-supervisor-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const port = await freePort();
  const config = await loadConfig({
    "data-dir": folder,
    "https-listen-port": `${port}`,
    "bind-address": "127.0.0.1",
    "node-name": "node-1",
    "tls-san": "api.example",
  });
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
  // A machine that is busy may not have the name ready for the client that brings it, but for the next one.
  await until("the name is taken", async () => /DNS:early\.example/.test(await namesFor(t, port, "early.example")));
  supervisor.setApiserverReady(true);
  const names = await namesFor(t, port, "late.example");
  assert.doesNotMatch(names, /late\.example/);
  for (const own of ["DNS:node-1", "DNS:api.example", "DNS:early.example"]) assert.ok(names.includes(own), own);
  supervisor.setApiserverReady(false);
  assert.doesNotMatch(await namesFor(t, port, "later.example"), /later\.example/);
});

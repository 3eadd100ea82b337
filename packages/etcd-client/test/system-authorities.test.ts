import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ensureServerPki, serverTlsPaths } from "@k3s/pki";
import { startEtcd } from "@k3s/testkit";
import { EtcdClient } from "../src/index.ts";

test("EtcdClient trusts the system's CAs where it is given none", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "k3s-etcd-client-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const apiServerUrl = "https://127.0.0.1:6444";
  await ensureServerPki({ serverDir: folder, clusterDomain: "c.local", sans: ["127.0.0.1"], apiServerUrl });
  const { serverCa, clientCa, clientSupervisor, servingApiServer } = serverTlsPaths(folder);
  process.env["SSL_CERT_FILE"] = serverCa.cert; // the system's list, which Node reads once
  const { url, program } = await startEtcd(folder, { tls: { ...servingApiServer, clientCa: clientCa.cert } });
  t.after(() => program.stop());
  const tls = { certFile: clientSupervisor.cert, keyFile: clientSupervisor.key };
  const it = await EtcdClient.create({ servers: [url], tls });
  t.after(() => it.close());
  assert.ok((await it.status()).dbSizeBytes > 0);
});

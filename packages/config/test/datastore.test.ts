import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ensureServerPki, serverTlsPaths } from "@k3s/pki";
import { loadDatastoreConfig } from "../src/index.ts";
import { load, problemsOf, temporaryFolder } from "./fixtures.ts";

/** Real certificates below `serverDir`. */
async function certificates(serverDir: string) {
  const apiServerUrl = "https://127.0.0.1:6444";
  await ensureServerPki({ serverDir, clusterDomain: "cluster.local", sans: ["127.0.0.1"], apiServerUrl });
  const tls = serverTlsPaths(serverDir);
  return { ca: tls.serverCa.cert, cert: tls.clientSupervisor.cert, key: tls.clientSupervisor.key };
}

describe("loadServerConfig(): datastore", () => {
  test("has the TLS files, by flag or variable", async (t) => {
    const { ca, cert, key } = await certificates(await temporaryFolder(t));
    const env = { K3S_DATASTORE_CERTFILE: cert, K3S_DATASTORE_KEYFILE: key, K3S_DATASTORE_ENDPOINT: "https://a:2379" };
    const config = await load({ flags: { "datastore-cafile": ca }, env });
    assert.deepEqual(config.datastoreTls, { caFile: ca, certFile: cert, keyFile: key });
    assert.deepEqual(config.warnings, []);
  });

  test("refuses half a pair, and files that do not fit", async (t) => {
    const { cert, key } = await certificates(await temporaryFolder(t));
    const endpoint = { "datastore-endpoint": "https://a:2379" };
    const alone = await problemsOf({ flags: { ...endpoint, "datastore-certfile": cert } });
    assert.deepEqual(alone, ["--datastore-keyfile must be given together with the certificate"]);
    const swapped = await problemsOf({ flags: { ...endpoint, "datastore-certfile": key, "datastore-keyfile": cert } });
    assert.match(swapped[0] ?? "", /^--datastore-certfile cannot be used: /);
  });

  for (const endpoint of ["", "sqlite://", "http://a:2379"]) {
    test(`warns of TLS files that "${endpoint}" has no use for`, async (t) => {
      const { ca } = await certificates(await temporaryFolder(t));
      const { warnings } = await load({ flags: { "datastore-endpoint": endpoint, "datastore-cafile": ca } });
      assert.match(warnings[0] ?? "", /^--datastore-cafile has no effect/);
    });
  }
});

describe("loadDatastoreConfig()", () => {
  const source = (flags: Readonly<Record<string, string>>, env: Readonly<Record<string, string>>) => ({
    flags: new Map(Object.entries(flags).map(([name, text]) => [name, [text]] as const)),
    env: { K3S_CONFIG_FILE: "/dev/null", ...env },
    host: { isRoot: true, home: "/root" },
    signal: AbortSignal.timeout(10_000),
  });

  test("finds the node's datastore where a server would", async (t) => {
    const file = join(await temporaryFolder(t), "config.yaml");
    await writeFile(file, "data-dir: /srv/k3s\ndatastore-endpoint: sqlite:///srv/x.db\n");
    const config = await loadDatastoreConfig(source({}, { K3S_CONFIG_FILE: file }));
    assert.equal(config.datastoreEndpoint, "sqlite:///srv/x.db");
    assert.equal(config.paths.datastoreSocket, "/srv/k3s/server/kine.sock");
    const other = await loadDatastoreConfig(source({ "datastore-endpoint": "http://a:1" }, { K3S_CONFIG_FILE: file }));
    assert.equal(other.datastoreEndpoint, "http://a:1");
  });

  test("does not mind settings that keep a server from starting", async (t) => {
    const file = join(await temporaryFolder(t), "config.yaml");
    await writeFile(file, "node-name: '???'\ncluster-init: true\nhttps-listen-port: x\n");
    const config = await loadDatastoreConfig(source({}, { K3S_CONFIG_FILE: file, K3S_URL: "https://x" }));
    assert.equal(config.paths.databaseFile, "/var/lib/rancher/k3s/server/db/state.db");
  });

  test("refuses a config file that was named and is not there", async () => {
    const env = { K3S_CONFIG_FILE: "/nonexistent/config.yaml" };
    await assert.rejects(loadDatastoreConfig(source({}, env)), { code: "ERR_CONFIG_FILE_ABSENT" });
  });

  test("lists what is wrong, without passwords", async () => {
    const flags = { "data-dir": "here", "datastore-endpoint": "mariadb://u:hunter2@h" };
    await assert.rejects(loadDatastoreConfig(source(flags, {})), (error) => {
      assert.match(String(error), /--data-dir must be an absolute path/);
      assert.match(String(error), /--datastore-endpoint cannot be "mariadb:\/\/u:\*+@h"/);
      assert.doesNotMatch(String(error), /hunter2/);
      return true;
    });
  });
});

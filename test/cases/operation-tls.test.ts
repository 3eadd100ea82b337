import assert from "node:assert/strict";
import { chmod, copyFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ensureServerPki, serverTlsPaths } from "@k3s/pki";
import { DATABASE_SERVERS, databasesForFile } from "./support/databases.ts";
import { ServedDatastore } from "./support/databases-served.ts";
import { succeed, write } from "./support/databases-wire.ts";

const pki = { paths: serverTlsPaths("") };

/** MariaDB and NATS let in only those who use TLS. */
const database = databasesForFile(DATABASE_SERVERS, async (folder) => {
  const sans = ["127.0.0.1", "localhost"];
  const apiServerUrl = "https://127.0.0.1:1";
  await ensureServerPki({ serverDir: folder, clusterDomain: "c.local", sans, apiServerUrl, hasEtcd: false });
  pki.paths = serverTlsPaths(folder);
  const { cert, key } = pki.paths.servingApiServer;
  const ca = pki.paths.clientCa.cert;
  const ownKey = join(folder, "postgres.key");
  await copyFile(key, ownKey);
  await chmod(ownKey, 0o600); // PostgreSQL refuses others
  return {
    mariaDb: ["--require-secure-transport=ON", `--ssl-cert=${cert}`, `--ssl-key=${key}`, `--ssl-ca=${ca}`],
    postgres: ["ssl=on", `ssl_cert_file=${cert}`, `ssl_key_file=${ownKey}`, `ssl_ca_file=${ca}`],
    nats: `tls { cert_file: "${cert}", key_file: "${key}", ca_file: "${ca}", verify: true, timeout: 10 }`,
  };
});

for (const name of DATABASE_SERVERS) {
  describe(`TLS to ${name}`, () => {
    const files = () => {
      const { cert, key } = pki.paths.clientAdmin;
      return [`--cert-file=${cert}`, `--key-file=${key}`];
    };
    /** PostgreSQL alone would let them in without TLS as well. */
    const assertEncrypted = async (data: string) => {
      if (name !== "PostgreSQL") return;
      await using session = await database(name).sql(data);
      const statement = `SELECT COUNT(*) > 0 FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
        WHERE s.ssl AND a.datname = ?`;
      assert.deepEqual(await session.query(statement, data), [[true]]);
    };

    test(`O5 TLS flags to database: ${name} is reached with --ca-file, --cert-file and --key-file`, async (t) => {
      const args = [`--ca-file=${pki.paths.serverCa.cert}`, ...files()];
      const served = await ServedDatastore.start(t, database(name).endpoint("tls"), { args });
      await succeed(served.connect(t), write("/a", 0, "1"));
      await assertEncrypted("tls");
    });

    test(`O5 TLS flags to database: ${name} whose CA is another one is refused`, async (t) => {
      const args = [`--ca-file=${pki.paths.clientCa.cert}`, ...files()];
      const refused = ServedDatastore.start(t, database(name).endpoint("other"), { args });
      await assert.rejects(refused, (error: unknown) => {
        const text = String(error);
        assert.match(text, /ERR_(MYSQL_TLS|POSTGRES_REFUSED|NATS_TLS)/);
        assert.match(text, /certificate/);
        return true;
      });
    });

    test(`O5 TLS flags to database: ${name} whose CA is another one is used with --skip-verify, over TLS`, async (t) => {
      const args = [`--ca-file=${pki.paths.clientCa.cert}`, ...files(), "--skip-verify"];
      const served = await ServedDatastore.start(t, database(name).endpoint("skip"), { args });
      await succeed(served.connect(t), write("/a", 0, "1"));
      await assertEncrypted("skip");
    });
  });
}

import { join } from "node:path";
import { test } from "node:test";
import { ensureServerPki, serverTlsPaths } from "@k3s/pki";
import { collectLog } from "@k3s/testkit";
import { openMysqlDriver } from "../src/index.ts";
import { createUser, TestDatabase } from "./support/test-database.ts";

const pki = { tls: serverTlsPaths("") };
const database = TestDatabase.forFile({ args: serverArgs });

async function serverArgs(folder: string): Promise<readonly string[]> {
  const serverDir = join(folder, "pki");
  const apiServerUrl = "https://127.0.0.1:1";
  await ensureServerPki({ serverDir, clusterDomain: "c.local", sans: ["127.0.0.1"], apiServerUrl });
  pki.tls = serverTlsPaths(serverDir);
  const { serverCa, clientCa, servingApiServer } = pki.tls;
  process.env["SSL_CERT_FILE"] = serverCa.cert; // the system's list, which Node reads once
  return [
    `--ssl-ca=${clientCa.cert}`,
    `--ssl-cert=${servingApiServer.cert}`,
    `--ssl-key=${servingApiServer.key}`,
    "--bind-address=127.0.0.1",
  ];
}

test("the system's CAs are trusted with tls=true, and with a client certificate where no CA is named", async (t) => {
  const account = "'certified'@'%'";
  const user = createUser(account, "IDENTIFIED BY 'secret' REQUIRE X509");
  await database.sql(t, "any", ...user, `GRANT ALL ON *.* TO ${account}`);
  const { cert: certFile, key: keyFile } = pki.tls.clientAdmin;
  const open = async (dsn: string, tls = {}) => {
    const driver = await openMysqlDriver({ dsn, tls, log: collectLog().log, signal: AbortSignal.timeout(20_000) });
    await driver.close();
  };
  await open(`certified:secret@tcp(127.0.0.1:${database.server.port})/x`, { certFile, keyFile });
  await open(database.dsn("y?tls=true"));
});

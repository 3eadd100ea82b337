import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { openNatsDriver, type TlsFiles } from "../src/index.ts";
import { quietLog, startNats } from "./support/nats-fixture.ts";
import { makeTlsFiles, type TlsPaths } from "./support/tls-files.ts";

describe("openNatsDriver() trusts the system's CAs where it is given none", () => {
  let folder = "";
  let files: TlsPaths;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "k3s-nats-tls-"));
    files = await makeTlsFiles(folder);
    process.env["SSL_CERT_FILE"] = files.serverCa.cert; // the system's list, which Node reads once
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const config = (more = "") => {
    const { cert, key } = files.servingApiServer;
    return `tls { cert_file: "${cert}", key_file: "${key}", timeout: 10 ${more} }`;
  };
  const open = async (server: string, tls: TlsFiles = {}) => {
    const signal = AbortSignal.timeout(30_000);
    const driver = await openNatsDriver({ endpoint: `nats://${server}`, tls, log: quietLog(), signal });
    await driver.close();
  };

  test("when the server demands TLS and no file is named", async (t) => {
    await open((await startNats(t, { config: config() })).endpoint);
  });

  test("when a client certificate is named, but no CA", async (t) => {
    const server = await startNats(t, { config: config(`, verify: true, ca_file: "${files.clientCa.cert}"`) });
    const { cert: certFile, key: keyFile } = files.clientAdmin;
    await open(server.endpoint, { certFile, keyFile });
  });
});

import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureServerPki, serverTlsPaths, type CertificatePair } from "@k3s/pki";

/** Certificates as the product makes them: of a server and a client, and of a client that is somebody else's. */
export class Certificates {
  folder = "";

  async make(): Promise<void> {
    this.folder = await mkdtemp(join(tmpdir(), "k3s-cases-"));
    const sans = ["localhost", "127.0.0.1"];
    const apiServerUrl = "https://127.0.0.1:6444";
    await ensureServerPki({ serverDir: this.folder, clusterDomain: "cluster.local", sans, apiServerUrl });
  }

  get paths() {
    return serverTlsPaths(this.folder);
  }

  get server() {
    const { etcdServer, etcdServerCa } = this.paths;
    return { cert: etcdServer.cert, key: etcdServer.key, clientCa: etcdServerCa.cert };
  }

  /** What a TLS client is given; without a pair it shows no certificate. */
  async client(pair?: CertificatePair) {
    const ca = await readFile(this.paths.etcdServerCa.cert);
    return pair === undefined ? { ca } : { ca, cert: await readFile(pair.cert), key: await readFile(pair.key) };
  }
}

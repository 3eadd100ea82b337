import { readFile, stat } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { Latest } from "@k3s/async";

/** Where the certificates are that the port works with; each may be replaced while it runs. */
export interface CredentialFiles {
  /** Answered at /cacerts, and what kube-apiserver's certificate is checked against. */
  readonly serverCa: string;
  /** What client certificates are checked against. */
  readonly clientCa: string;
  /** `client-auth-proxy.crt` and `.key`: lets us tell kube-apiserver whom a request comes from. */
  readonly proxyCertificate: string;
  readonly proxyKey: string;
}

export interface Credentials {
  readonly serverCa: Buffer;
  readonly clientCa: Buffer;
  readonly proxyCertificate: Buffer;
  readonly proxyKey: Buffer;
}

/** The content of the files, read again when one of them changes. */
export class WatchedCredentials {
  readonly current: Latest<Credentials>;
  readonly #files: CredentialFiles;
  #version: string;

  private constructor(files: CredentialFiles, version: string, credentials: Credentials) {
    this.#files = files;
    this.#version = version;
    this.current = new Latest(credentials);
  }

  static async load(files: CredentialFiles): Promise<WatchedCredentials> {
    return new WatchedCredentials(files, await versionOf(files), await read(files));
  }

  /** Tells whether anything had changed. Rejects, and keeps what it has, when a file cannot be read or used. */
  async refresh(): Promise<boolean> {
    const version = await versionOf(this.#files);
    if (version === this.#version) return false;
    const credentials = await read(this.#files);
    this.#version = version;
    this.current.set(credentials);
    return true;
  }
}

async function versionOf(files: CredentialFiles): Promise<string> {
  const stats = await Promise.all(Object.values(files).map((path: string) => stat(path)));
  return stats.map(({ ino, mtimeMs, size }) => `${ino}/${mtimeMs}/${size}`).join();
}

async function read(files: CredentialFiles): Promise<Credentials> {
  const [serverCa, clientCa, proxyCertificate, proxyKey] = await Promise.all([
    readFile(files.serverCa),
    readFile(files.clientCa),
    readFile(files.proxyCertificate),
    readFile(files.proxyKey),
  ]);
  // Fails here, once, rather than in each connection.
  createSecureContext({ ca: serverCa, cert: proxyCertificate, key: proxyKey });
  createSecureContext({ ca: clientCa });
  return { serverCa, clientCa, proxyCertificate, proxyKey };
}

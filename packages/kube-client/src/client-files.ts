import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { isDeepStrictEqual } from "node:util";
import { KubeClient } from "./kube-client.ts";

export interface ClientFiles {
  /** `https://host:port` of the API server. */
  readonly server: string;
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly userAgent: string;
}

/** A client that proves itself with the certificate in these files, read once, now. */
export async function kubeClientFromFiles(files: ClientFiles): Promise<KubeClient> {
  return (await RenewableClient.load(files)).client;
}

interface Credentials {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** A client that proves itself with the certificate in some files, which somebody renews. */
export class RenewableClient {
  readonly client: KubeClient;
  readonly #files: ClientFiles;
  #used: Credentials;

  private constructor(files: ClientFiles, credentials: Credentials) {
    const { server, userAgent } = files;
    this.#files = files;
    this.#used = credentials;
    this.client = new KubeClient({ server, userAgent, ...credentials });
  }

  /** Rejects with Node's error when a file cannot be read. */
  static async load(files: ClientFiles): Promise<RenewableClient> {
    return new RenewableClient(files, await read(files));
  }

  /** Uses what the files have now. Rejects, and goes on with what it has, when that cannot be used. */
  async refresh(): Promise<void> {
    const found = await read(this.#files);
    if (isDeepStrictEqual(found, this.#used)) return;
    createSecureContext(found); // throws for a key of another certificate: the rest is on its way
    this.#used = found;
    this.client.useCredentials(found);
  }
}

async function read({ caFile, certFile, keyFile }: ClientFiles): Promise<Credentials> {
  const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map((path) => readFile(path, "utf8")));
  if (ca === undefined || cert === undefined || key === undefined)
    throw new Error("Cannot read client files: fewer read than asked for");
  return { ca, cert, key };
}

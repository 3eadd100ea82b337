import { readFile } from "node:fs/promises";
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
  const [ca, cert, key] = await Promise.all(
    [files.caFile, files.certFile, files.keyFile].map((path) => readFile(path, "utf8")),
  );
  if (ca === undefined || cert === undefined || key === undefined)
    throw new Error("Cannot read client files: fewer read than asked for");
  return new KubeClient({ server: files.server, ca, cert, key, userAgent: files.userAgent });
}

import { ensureServerPki, serverTlsPaths } from "@k3s/pki";

export type TlsPaths = ReturnType<typeof serverTlsPaths>;

/** Certificates of CAs of their own below `folder`, for servers at 127.0.0.1 and localhost and for their clients. */
export async function makeTlsFiles(folder: string): Promise<TlsPaths> {
  await ensureServerPki({
    serverDir: folder,
    clusterDomain: "c.local",
    sans: ["127.0.0.1", "localhost"],
    apiServerUrl: "https://127.0.0.1:1",
    hasEtcd: false,
  });
  return serverTlsPaths(folder);
}

import { readFile } from "node:fs/promises";
import type { ConnectionOptions } from "node:tls";
import { trustedAuthorities } from "@k3s/pki";
import { PostgresError } from "./errors.ts";
import type { PostgresSettings } from "./parse-postgres-dsn.ts";

/** One way to reach the server. */
export interface ConnectTarget {
  readonly host: string;
  readonly port: number;
  /** false: no TLS. */
  readonly ssl: false | ConnectionOptions;
}

/**
 * All ways in the order in which they are tried: each host, with and without TLS as its mode says. Reads the files of TLS; rejects
 * with PostgresError when one of them cannot be read.
 */
export async function connectTargets(settings: PostgresSettings): Promise<readonly ConnectTarget[]> {
  const isRemote = settings.hosts.some(({ host }) => !host.startsWith("/"));
  const ssl = isRemote && settings.sslMode !== "disable" ? await tlsOptions(settings) : false;
  return settings.hosts.flatMap(({ host, port }) => {
    const kinds = host.startsWith("/") || ssl === false ? [false as const] : kindsOf(settings.sslMode, ssl);
    return kinds.map((kind) => ({ host, port, ssl: kind }));
  });
}

/** How a host is called in messages. */
export function describeHost({ host, port }: Pick<ConnectTarget, "host" | "port">): string {
  return host.startsWith("/") ? host : `${host}:${port}`;
}

function kindsOf(mode: PostgresSettings["sslMode"], ssl: ConnectionOptions): readonly ConnectTarget["ssl"][] {
  if (mode === "allow") return [false, ssl];
  return mode === "prefer" ? [ssl, false] : [ssl];
}

async function tlsOptions(settings: PostgresSettings): Promise<ConnectionOptions> {
  const { sslRootCert, sslCert, sslKey, sslPassword } = settings;
  return {
    ...verification(settings),
    ca: sslRootCert === "" ? trustedAuthorities() : await readPem(sslRootCert),
    ...(sslCert === "" ? {} : { cert: await readPem(sslCert), key: await readPem(sslKey) }),
    ...(sslPassword === "" ? {} : { passphrase: sslPassword }),
  };
}

/** `require` with a root certificate verifies it, but not the name: as libpq does. */
function verification({ sslMode, sslRootCert }: PostgresSettings): ConnectionOptions {
  if (sslMode === "verify-full") return {};
  if (sslMode === "verify-ca" || (sslMode === "require" && sslRootCert !== ""))
    return { checkServerIdentity: () => undefined };
  return { rejectUnauthorized: false };
}

async function readPem(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw PostgresError.unreadableFile(path, error);
  }
}

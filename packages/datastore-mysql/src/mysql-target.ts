import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { SilentHosts } from "@k3s/datastore-sql";
import { trustedAuthorities } from "@k3s/pki";
import type { ConnectionOptions } from "mysql2";
import { MysqlError } from "./errors.ts";
import { parseMysqlDsn } from "./mysql-dsn.ts";
import type { MysqlDsn } from "./mysql-dsn-types.ts";

/** PEM files for the way to the database. Any of them switches TLS on, whatever the DSN says. */
export interface MysqlTlsFiles {
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** The server's certificate is not verified. Counts only together with a file, as in kine. */
  readonly skipVerify?: boolean | undefined;
}

/** A server and how it is spoken to: everything but the database name is complete. */
export interface MysqlTarget extends MysqlDsn {
  readonly ssl: Exclude<ConnectionOptions["ssl"], string>;
  /** Without TLS, if the server has none. */
  readonly isSslOptional: boolean;
  /** Of the addresses of the host. */
  readonly silent: SilentHosts<string>;
}

// What kine takes for an empty endpoint, without and with TLS files.
const SOCKET_DSN = "root@unix(/var/run/mysqld/mysqld.sock)/";
const HOST_DSN = "root@tcp(127.0.0.1)/";
const DATABASE = "kubernetes";

/** A DSN with kine's defaults. Throws MysqlDsnError. */
export function completeMysqlDsn(dsn: string, tls: MysqlTlsFiles): MysqlDsn {
  const parsed = parseMysqlDsn(dsn === "" ? (hasFiles(tls) ? HOST_DSN : SOCKET_DSN) : dsn);
  return parsed.database === "" ? { ...parsed, database: DATABASE } : parsed;
}

/** Reads the TLS files. Rejects with MysqlDsnError or MysqlError. */
export async function resolveMysqlTarget(dsn: string, tls: MysqlTlsFiles): Promise<MysqlTarget> {
  const silent = new SilentHosts<string>({ nameOf: (address) => address });
  const complete = { ...completeMysqlDsn(dsn, tls), silent };
  if (!hasFiles(tls)) return { ...complete, ...dsnTls(complete) };
  const [ca, cert, key] = await Promise.all([tls.caFile, tls.certFile, tls.keyFile].map(readPem));
  const isVerified = tls.skipVerify !== true;
  const files = {
    ...(ca !== undefined ? { ca } : isVerified && { ca: trustedAuthorities() }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
  const ssl = {
    ...files,
    rejectUnauthorized: isVerified,
    verifyIdentity: isVerified && complete.socketPath === undefined,
  };
  return { ...complete, ssl: { ...ssl, minVersion: "TLSv1.1" }, isSslOptional: complete.allowFallbackToPlaintext };
}

function dsnTls(dsn: MysqlDsn): Pick<MysqlTarget, "ssl" | "isSslOptional"> {
  const { tls, socketPath, allowFallbackToPlaintext } = dsn;
  if (tls === "false") return { ssl: undefined, isSslOptional: false };
  const isSslOptional = tls === "preferred" || allowFallbackToPlaintext;
  if (tls !== "true") return { ssl: { rejectUnauthorized: false }, isSslOptional };
  return {
    ssl: { ca: trustedAuthorities(), rejectUnauthorized: true, verifyIdentity: socketPath === undefined },
    isSslOptional,
  };
}

function hasFiles({ caFile, certFile, keyFile }: MysqlTlsFiles): boolean {
  return [caFile, certFile, keyFile].some((file) => file !== undefined && file !== "");
}

async function readPem(path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined || path === "") return undefined;
  try {
    return await readFile(path);
  } catch (error) {
    throw MysqlError.tlsFile(path, error);
  }
}

/** How the server is called in messages. */
export function describeTarget({ socketPath, host, port }: MysqlDsn): string {
  return socketPath ?? (isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`);
}

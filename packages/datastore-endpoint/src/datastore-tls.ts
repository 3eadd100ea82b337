import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { describeError } from "@k3s/errors";

/** How the datastore is spoken to over TLS: paths of PEM files. */
export interface DatastoreTls {
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** The server's certificate is not verified. */
  readonly skipVerify?: boolean | undefined;
}

/** A mistake in one of the files; `reason` is the end of a sentence about it. */
export interface TlsProblem {
  readonly file: "caFile" | "certFile" | "keyFile";
  readonly reason: string;
}

/** Finds out whether the files exist, can be read and go together. An empty answer means that all is well. */
export async function findTlsProblems(tls: DatastoreTls): Promise<readonly TlsProblem[]> {
  const problems: TlsProblem[] = [];
  if (tls.certFile !== undefined && tls.keyFile === undefined)
    problems.push({ file: "keyFile", reason: "must be given together with the certificate" });
  if (tls.keyFile !== undefined && tls.certFile === undefined)
    problems.push({ file: "certFile", reason: "must be given together with the key" });
  const [ca, cert, key] = await Promise.all([
    read(tls, "caFile", problems),
    read(tls, "certFile", problems),
    read(tls, "keyFile", problems),
  ]);
  if (ca !== undefined) tryContext({ ca: ca.toString("latin1") }, "caFile", problems);
  if (ca !== undefined && !ca.includes("-----BEGIN "))
    problems.push({ file: "caFile", reason: `"${tls.caFile ?? ""}" holds no PEM certificate` });
  if (cert !== undefined && key !== undefined) tryContext({ cert, key }, "certFile", problems);
  return problems;
}

async function read(tls: DatastoreTls, file: TlsProblem["file"], problems: TlsProblem[]): Promise<Buffer | undefined> {
  const path = tls[file];
  if (path === undefined) return undefined;
  try {
    return await readFile(path);
  } catch (error) {
    problems.push({ file, reason: `cannot be read: ${describeError(error)}` });
    return undefined;
  }
}

function tryContext(
  files: Parameters<typeof createSecureContext>[0],
  file: TlsProblem["file"],
  problems: TlsProblem[],
): void {
  try {
    createSecureContext(files);
  } catch (error) {
    problems.push({ file, reason: `cannot be used: ${describeError(error)}` });
  }
}

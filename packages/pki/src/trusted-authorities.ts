import { getCACertificates } from "node:tls";

/**
 * PEM of all CAs that a server may have its certificate from where none is named: Node's list and the system's, as Go's programs
 * take it. The first call reads the system's files.
 */
export function trustedAuthorities(): string {
  return [...new Set([...getCACertificates("default"), ...systemAuthorities()])].join("\n");
}

/** PEM of each CA in the system's list. The first call reads its files. */
export function systemAuthorities(): string[] {
  try {
    return getCACertificates("system");
  } catch {
    return []; // a machine without the package ca-certificates trusts nobody
  }
}

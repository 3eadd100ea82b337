import { link } from "node:fs/promises";
import type { KeyObject } from "node:crypto";
import { formatCertificates, parseCertificate, type Certificate } from "./certificate.ts";
import { PkiError } from "./errors.ts";
import { formatKey, loadPair, type LoadedPair } from "./key-pair.ts";
import type { CertificatePair, ServerTlsPaths } from "./paths.ts";
import { PUBLIC_MODE, readText, SECRET_MODE, tighten, writeText } from "./pki-files.ts";
import { generateKey, signAuthority } from "./sign-certificate.ts";

/** A CA that can sign: its bundle, issuing certificate first, and the key of that certificate. */
export interface Authority {
  readonly certificate: Certificate;
  readonly key: KeyObject;
  /** The whole bundle as PEM: what follows every leaf in its file. */
  readonly bundle: string;
  /** Made just now: every leaf below it has to be made anew. */
  readonly isNew: boolean;
}

export interface AuthorityPlan {
  readonly pair: CertificatePair;
  /** The common name is this, "-ca@" and the time in Unix seconds. */
  readonly prefix: string;
}

/** The CAs of a server by name. */
export function authorityPlans(tls: ServerTlsPaths) {
  return {
    client: { pair: tls.clientCa, prefix: "k3s-client" },
    server: { pair: tls.serverCa, prefix: "k3s-server" },
    requestHeader: { pair: tls.requestHeaderCa, prefix: "k3s-request-header" },
    etcdServer: { pair: tls.etcdServerCa, prefix: "etcd-server" },
    etcdPeer: { pair: tls.etcdPeerCa, prefix: "etcd-peer" },
  } as const satisfies Record<string, AuthorityPlan>;
}

/** Reads a CA that must be there. Rejects with PkiError when it is missing, damaged or not valid at `now`. */
export async function loadAuthority(pair: CertificatePair, now: Date): Promise<Authority> {
  const loaded = await loadPair(pair);
  const authority = asAuthority(pair, loaded, now);
  if (authority !== undefined) return authority;
  throw PkiError.unreadable(pair.cert, new Error("there is no such file"));
}

/**
 * Reads all CAs, and only when every one that exists is usable makes those that are missing.
 * A key without a certificate is used for the new certificate: the trace of an interrupted start.
 */
export async function ensureAuthorities<Name extends string>(
  plans: Readonly<Record<Name, AuthorityPlan>>,
  now: Date,
): Promise<Record<Name, Authority>> {
  const entries = Object.entries<AuthorityPlan>(plans);
  const loaded = await Promise.all(
    entries.map(async ([name, plan]) => {
      const files = await loadPair(plan.pair);
      return { name, plan, files, present: asAuthority(plan.pair, files, now) };
    }),
  );
  const ensured = loaded.map(async ({ name, plan, files, present }): Promise<[string, Authority]> => {
    return [name, present ?? (await createAuthority(plan, files, now))];
  });
  return Object.fromEntries(await Promise.all(ensured)) as Record<Name, Authority>; // sound: same keys as `plans`
}

/** Gives a cluster that has only the old token CA its server CA: the same files under the new name. */
export async function adoptTokenCa(tls: ServerTlsPaths): Promise<void> {
  const { serverCa, tokenCa } = tls;
  const all = [serverCa.cert, serverCa.key, tokenCa.cert, tokenCa.key];
  const [cert, key, oldCert, oldKey] = await Promise.all(all.map(readText));
  if (cert !== undefined || oldCert === undefined || oldKey === undefined) return;
  if (key !== undefined && key !== oldKey) return;
  try {
    if (key === undefined) await link(tokenCa.key, serverCa.key);
    await link(tokenCa.cert, serverCa.cert);
  } catch (error) {
    throw PkiError.unwritable(serverCa.cert, error);
  }
}

function asAuthority(pair: CertificatePair, files: LoadedPair, now: Date): Authority | undefined {
  const { certificates, key } = files;
  if (certificates === undefined) return undefined;
  if (key === undefined) throw PkiError.authorityKeyMissing(pair);
  const [certificate] = certificates;
  const { notBefore, notAfter } = certificate;
  if (now < notBefore) throw PkiError.clockBehind({ path: pair.cert, notBefore, now });
  if (now > notAfter) throw PkiError.authorityExpired({ path: pair.cert, notAfter, now });
  return { certificate, key, bundle: formatCertificates(certificates), isNew: false };
}

async function createAuthority(plan: AuthorityPlan, files: LoadedPair, now: Date): Promise<Authority> {
  const { pair, prefix } = plan;
  const key = files.key ?? generateKey();
  const commonName = `${prefix}-ca@${Math.floor(now.getTime() / 1000)}`;
  const certificate = parseCertificate(signAuthority({ commonName, key, now }));
  const bundle = formatCertificates([certificate]);
  // The key first: a start that is cut off here finds the key again, never a certificate without its key.
  if (files.key === undefined) await writeText(pair.key, { text: formatKey(key), mode: SECRET_MODE });
  else await tighten(pair.key, SECRET_MODE);
  await writeText(pair.cert, { text: bundle, mode: PUBLIC_MODE });
  return { certificate, key, bundle, isNew: true };
}

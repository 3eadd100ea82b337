import { generateKeyPairSync, randomBytes } from "node:crypto";
import { dirname } from "node:path";
import { makeDirectory, removeIfExists } from "@k3s/files";
import { adoptTokenCa, authorityPlans, ensureAuthorities } from "./authority.ts";
import { formatCertificates } from "./certificate.ts";
import { PkiError } from "./errors.ts";
import { ensureKey, parseKeys } from "./key-pair.ts";
import { formatKubeconfig } from "./kubeconfig.ts";
import { ensureLeaf, type LeafPlan, type RenewalReason, type Term } from "./leaf.ts";
import { serverCredPaths, serverTlsPaths, type ServerTlsPaths } from "./paths.ts";
import { pemBlocks } from "./pem.ts";
import { PUBLIC_MODE, readText, SECRET_MODE, writeIfChanged, writeText } from "./pki-files.ts";
import { clientPlans, servingPlans, type Authorities, type ClientPlan } from "./server-leaves.ts";

export interface ServerPkiRequest {
  readonly serverDir: string;
  readonly clusterDomain: string;
  /** Names and addresses this server is reached by; those of the `kubernetes` service are added. */
  readonly sans: readonly string[];
  /** Where components on this machine reach kube-apiserver, for instance https://127.0.0.1:6444. */
  readonly apiServerUrl: string;
  /** Default true. */
  readonly hasEtcd?: boolean;
  readonly now: Date;
  readonly leafLifetimeDays: number;
}

/** One certificate that was made, and why. */
export interface MadeCertificate {
  readonly path: string;
  readonly reason: RenewalReason;
}

/** Brings the files of a server to the state the rules ask for. Runs in the PKI worker: RSA key generation blocks. */
export async function makeServerPki(request: ServerPkiRequest): Promise<readonly MadeCertificate[]> {
  const tls = serverTlsPaths(request.serverDir);
  const cred = serverCredPaths(request.serverDir);
  await makeDirectories(request.serverDir, tls, cred.dir);
  // Left by old releases, which kept these certificates on the server.
  await Promise.all([tls.clientKubeProxy.cert, tls.clientK3sController.cert].map(removeIfExists));
  await adoptTokenCa(tls);
  const authorities = await ensureAuthorities(authorityPlans(tls), request.now);
  const term: Term = { now: request.now, lifetimeDays: request.leafLifetimeDays };
  const names = { ...request, hasEtcd: request.hasEtcd ?? true };
  const clients = clientPlans(tls, cred, authorities.client);
  const made = await Promise.all([
    ...servingPlans(tls, authorities, names).map((plan) => makeLeaf(plan, term)),
    ...clients.map((plan) => makeLeaf(plan, term)),
  ]);
  await Promise.all([
    ...clients.map((plan) => writeKubeconfig(plan, request.apiServerUrl, tls.serverCa.cert)),
    ...[tls.clientKubeProxy, tls.clientK3sController, tls.clientKubelet, tls.servingKubelet].map(({ key }) =>
      ensureKey(key),
    ),
    writeNoChain(tls, authorities),
    ensureServiceKey(tls),
    ensureIpsecKey(cred.ipsecPsk),
  ]);
  return made.filter((entry) => entry !== undefined);
}

async function makeDirectories(serverDir: string, tls: ServerTlsPaths, credDir: string): Promise<void> {
  const directories = [serverDir, tls.dir, credDir, tls.etcdDir, tls.temporaryCertsDir];
  const serving = [dirname(tls.servingScheduler.cert), dirname(tls.servingController.cert)];
  for (const path of [...directories, ...serving]) {
    try {
      await makeDirectory(path, 0o700);
    } catch (error) {
      throw PkiError.unwritable(path, error);
    }
  }
}

async function makeLeaf(plan: LeafPlan, term: Term): Promise<MadeCertificate | undefined> {
  const reason = await ensureLeaf(plan, term);
  return reason === undefined ? undefined : { path: plan.pair.cert, reason };
}

async function writeKubeconfig({ pair, kubeconfig }: ClientPlan, server: string, caFile: string): Promise<void> {
  const text = formatKubeconfig({ server, caFile, certFile: pair.cert, keyFile: pair.key });
  await writeIfChanged(kubeconfig, { text, mode: SECRET_MODE });
}

async function writeNoChain(tls: ServerTlsPaths, { client, server }: Authorities): Promise<void> {
  const first = ({ certificate }: typeof client) => ({ text: formatCertificates([certificate]), mode: PUBLIC_MODE });
  await writeIfChanged(tls.clientCaNoChain, first(client));
  await writeIfChanged(tls.serverCaNoChain, first(server));
}

async function ensureServiceKey(tls: ServerTlsPaths): Promise<void> {
  const bundle = (await readText(tls.serviceKey)) ?? (await createServiceKey(tls.serviceKey));
  const [first] = parseKeys(bundle, tls.serviceKey);
  if (first === undefined) throw PkiError.corruptKey(tls.serviceKey);
  await writeIfChanged(tls.serviceKey, { text: bundle, mode: SECRET_MODE });
  await writeIfChanged(tls.serviceCurrentKey, { text: `${firstKeyText(bundle)}\n`, mode: SECRET_MODE });
}

async function createServiceKey(path: string): Promise<string> {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const text = privateKey.export({ type: "pkcs1", format: "pem" }).toString();
  await writeText(path, { text, mode: SECRET_MODE });
  return text;
}

function firstKeyText(bundle: string): string {
  const block = pemBlocks(bundle).find(({ label }) => label.endsWith("PRIVATE KEY"));
  return block === undefined ? "" : block.text;
}

async function ensureIpsecKey(path: string): Promise<void> {
  const present = await readText(path);
  if (present !== undefined && present.trim() !== "") return;
  await writeText(path, { text: `${randomBytes(48).toString("hex")}\n`, mode: SECRET_MODE });
}

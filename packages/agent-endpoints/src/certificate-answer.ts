import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { createCsr, PkiError, serverTlsPaths, signAgentCertificate, type AgentLeafName } from "@k3s/pki";
import { RouteRefusal, type RouteAnswer, type RouteRequest } from "@k3s/supervisor-api";
import type { NodeCheck } from "./node-check.ts";
import type { NodeNames } from "./node-names.ts";

export interface CertificateOptions {
  readonly serverDir: string;
  readonly nodeCheck: NodeCheck;
  readonly nodeNames: NodeNames;
}

/** Signs one of an agent's certificates. The two that name a node are for who knows that node's password. */
export async function certificateAnswer(
  name: AgentLeafName,
  request: RouteRequest,
  { serverDir, nodeCheck, nodeNames }: CertificateOptions,
): Promise<RouteAnswer> {
  const isOfNode = name === "serving-kubelet" || name === "client-kubelet";
  const nodeName = isOfNode ? await nodeCheck.check(request) : "";
  const wanted = { nodeName, remoteAddress: request.remoteAddress };
  const nodeIps =
    name === "serving-kubelet" ? nodeNames.grant({ ...wanted, ips: readAddresses(request.header("k3s-node-ip")) }) : [];
  const csr = request.method === "POST" ? await request.body() : Buffer.alloc(0);
  const subject = { serverDir, name, nodeName, nodeIps };
  try {
    if (csr.length > 0) return { body: await signAgentCertificate({ ...subject, csr }) };
  } catch (error) {
    if (!(error instanceof PkiError) || error.code !== "ERR_PKI_CSR_INVALID") throw error;
  }
  return { body: await sharedPair(subject) };
}

/** Agents of old send no request they made themselves: they get the key that this server keeps for all of them. */
async function sharedPair(subject: Omit<Parameters<typeof signAgentCertificate>[0], "csr">): Promise<string> {
  const tls = serverTlsPaths(subject.serverDir);
  const keys = {
    "serving-kubelet": tls.servingKubelet.key,
    "client-kubelet": tls.clientKubelet.key,
    "client-kube-proxy": tls.clientKubeProxy.key,
    "client-k3s-controller": tls.clientK3sController.key,
  };
  const keyFile = keys[subject.name];
  const certificate = await signAgentCertificate({ ...subject, csr: await createCsr(keyFile) });
  return certificate + (await readFile(keyFile, "utf8"));
}

function readAddresses(header: string | undefined): readonly string[] {
  const addresses = (header ?? "")
    .split(",")
    .map((text) => text.trim())
    .filter((text) => text !== "");
  const wrong = addresses.find((text) => isIP(text) === 0);
  if (wrong === undefined) return addresses;
  const message = `Internal error occurred: invalid node IP address ${wrong}`;
  throw new RouteRefusal({ code: 500, reason: "InternalError", message });
}

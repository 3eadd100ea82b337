import type { TestContext } from "node:test";
import { Latest } from "@k3s/async";
import { createLogger } from "@k3s/log";
import {
  failures,
  RouteRefusal,
  SupervisorListener,
  type PasswordCheck,
  type Route,
  type SupervisorOptions,
} from "../../src/index.ts";
import type { TestPki } from "./test-pki.ts";

export interface Served {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface Started {
  readonly listener: SupervisorListener;
  readonly port: number;
  readonly certificate: Latest<Served>;
  /** Names that were offered for the certificate, in order. */
  readonly offered: readonly string[];
  readonly log: readonly string[];
}

export interface StartOptions extends Partial<SupervisorOptions> {
  readonly pki: TestPki;
  readonly apiserverPort?: number;
  /** Told of each name before `offerNames` resolves. */
  readonly onOffer?: (name: string, certificate: Latest<Served>) => Promise<void>;
}

const passwords: PasswordCheck = {
  check: (user, password) => {
    if (user !== "node") return Promise.resolve({ kind: "unknown" });
    if (password !== "se:cret") return Promise.resolve({ kind: "rejected" });
    return Promise.resolve({ kind: "accepted", user: { name: "node", uid: "node", groups: ["k3s:agent"] } });
  },
};

/** As on a server whose controllers are not up yet. */
const notReady: Route = {
  groups: ["k3s:agent", "system:nodes", "system:bootstrappers"],
  answer: () => Promise.reject(new RouteRefusal(failures.coreNotReady)),
};

/** A listener on a free port of the loopback; kube-apiserver counts as ready. */
export async function startListener(t: Pick<TestContext, "after">, options: StartOptions): Promise<Started> {
  const { pki, apiserverPort, onOffer, ...rest } = options;
  const certificate = new Latest(servedPair(pki, "serving"));
  const offered: string[] = [];
  const log: string[] = [];
  const offerNames = async (names: readonly string[]) => {
    offered.push(...names);
    for (const name of names) await onOffer?.(name, certificate);
  };
  const listener = new SupervisorListener({
    port: 0,
    bindAddress: "127.0.0.1",
    files: filesOf(pki),
    certificate: { current: certificate, offerNames },
    passwords,
    tokens: { check: () => Promise.resolve(undefined) },
    routes: { paths: new Map([["/v1-k3s/readyz", notReady]]), upgrades: new Map(), connect: undefined },
    apiserver: { host: "127.0.0.1", port: apiserverPort ?? 1 },
    log: createLogger({ level: "debug", format: "json", write: (line) => void log.push(line) }),
    ...rest,
  });
  t.after(() => listener.stop(AbortSignal.abort()));
  await listener.start();
  listener.setApiserverReady(true);
  return { listener, port: listener.port, certificate, offered, log };
}

export function servedPair(pki: TestPki, name: string): Served {
  const { cert, key } = pki.read(name);
  return { certPem: cert, keyPem: key };
}

/** The files of a server whose client CA is the one named. */
export function filesOf(pki: TestPki, clientCa = "client-ca"): SupervisorOptions["files"] {
  return {
    serverCa: pki.path("server-ca.crt"),
    clientCa: pki.path(`${clientCa}.crt`),
    proxyCertificate: pki.path("proxy.crt"),
    proxyKey: pki.path("proxy.key"),
  };
}

import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { createLogger } from "@k3s/log";
import { DynamicCertificate, ensureServerPki, writeAdminKubeconfig, type ServerTlsPaths } from "@k3s/pki";
import { SupervisorListener } from "@k3s/supervisor-api";
import { KubeApiserver, freePort } from "@k3s/testkit";
import { PasswordAuthenticator } from "@k3s/token";
import { startEtcdApi } from "./etcd-api-on-endpoint.ts";

const run = promisify(execFile);
const STOP_WITHIN_MS = 5000;
const RUN_WITHIN_MS = 60_000;

/** The one port in front of a real kube-apiserver on the product's datastore, with the product's certificates. */
export interface OnePort extends AsyncDisposable {
  readonly folder: string;
  readonly url: string;
  readonly port: number;
  readonly listener: SupervisorListener;
  readonly tls: ServerTlsPaths;
  /** For any kubectl. */
  readonly kubeconfig: string;
  readonly apiserver: KubeApiserver;
  /** Another kube-apiserver in the place of one that ended. */
  startApiserver(): Promise<KubeApiserver>;
  /** Standard output of a program; rejects with its exit code and output otherwise. */
  run(program: string, ...args: readonly string[]): Promise<string>;
}

export async function startOnePort(): Promise<OnePort> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "k3s-port-6443-"));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const serverDir = join(folder, "server");
  const apiserverPort = await freePort();
  const apiServerUrl = `https://127.0.0.1:${apiserverPort}`;
  const { tls } = await ensureServerPki({
    serverDir,
    clusterDomain: "cluster.local",
    sans: ["127.0.0.1"],
    apiServerUrl,
  });
  undo.use(await startEtcdApi(folder));
  const apiservers = undo.use(new AsyncDisposableStack());
  const startApiserver = async () => {
    const started = await KubeApiserver.start({
      folder,
      port: apiserverPort,
      etcdServers: "unix://kine.sock",
      args: apiserverArgs(tls),
    });
    apiservers.defer(() => started.stop());
    return started;
  };
  const apiserver = await startApiserver();
  const listener = await startListener(serverDir, { tls, apiserverPort });
  undo.defer(() => listener.stop(AbortSignal.timeout(STOP_WITHIN_MS)));
  const url = `https://127.0.0.1:${listener.port}`;
  const kubeconfig = join(folder, "admin.kubeconfig");
  await writeAdminKubeconfig({
    serverDir,
    server: url,
    path: kubeconfig,
    wellKnownPath: kubeconfig,
    name: "default",
    mode: 0o600,
  });
  const onePort = {
    ...{ folder, url, port: listener.port, listener, tls, kubeconfig, apiserver, startApiserver },
    run: async (program: string, ...args: readonly string[]) => {
      const { stdout } = await run(program, args, { timeout: RUN_WITHIN_MS, maxBuffer: 128 << 20 });
      return stdout;
    },
  };
  const running = undo.move();
  return { ...onePort, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

function apiserverArgs(tls: ServerTlsPaths): readonly string[] {
  return [
    `--tls-cert-file=${tls.servingApiServer.cert}`,
    `--tls-private-key-file=${tls.servingApiServer.key}`,
    `--client-ca-file=${tls.clientCa.cert}`,
    `--requestheader-client-ca-file=${tls.requestHeaderCa.cert}`,
    "--requestheader-allowed-names=system:auth-proxy",
    "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    "--requestheader-group-headers=X-Remote-Group",
    "--requestheader-username-headers=X-Remote-User",
  ];
}

async function startListener(
  serverDir: string,
  { tls, apiserverPort }: { readonly tls: ServerTlsPaths; readonly apiserverPort: number },
): Promise<SupervisorListener> {
  const log = createLogger({ level: "error", format: "text", write: (line) => process.stderr.write(line) });
  const configuredNames = ["localhost", "127.0.0.1"];
  const listener = new SupervisorListener({
    port: 0,
    bindAddress: "127.0.0.1",
    files: {
      serverCa: tls.serverCa.cert,
      clientCa: tls.clientCa.cert,
      proxyCertificate: tls.authProxy.cert,
      proxyKey: tls.authProxy.key,
    },
    certificate: await DynamicCertificate.open({ serverDir, configuredNames, log }),
    passwords: await PasswordAuthenticator.create([
      { user: "node", uid: "node", groups: ["k3s:agent"], password: "secret" },
    ]),
    apiserver: { host: "127.0.0.1", port: apiserverPort },
    log,
  });
  await listener.start();
  listener.setApiserverReady(true);
  return listener;
}

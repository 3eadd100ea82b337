import { dirname } from "node:path";
import type { ComponentSet } from "@k3s/components";
import { ensureDirectory, writeFileAtomic } from "@k3s/files";
import type { Logger } from "@k3s/log";
import { serverTlsPaths } from "@k3s/pki";
import { SupervisedChild, type ReadinessProbe, type RecordsPlace } from "@k3s/process";
import type { ControlPlaneOptions } from "./control-plane-options.ts";
import { controllerManagerArgs } from "./controller-manager-args.ts";
import { egressSelectorConfig, egressSelectorPath } from "./egress-selector-config.ts";
import { httpsProbe } from "./https-probe.ts";
import { kubeApiserverArgs } from "./kube-apiserver-args.ts";
import { lastArg, listenerAddress } from "./listener-address.ts";
import { schedulerArgs } from "./scheduler-args.ts";

/** What running the programs needs besides their arguments. */
interface ControlPlaneRuntime {
  readonly set: ComponentSet;
  /** The whole environment of the children. */
  readonly env: Readonly<Record<string, string>>;
  readonly records?: RecordsPlace;
  readonly log: Logger;
}

/** Long enough to give up leases and to end watches in order; then the program is killed. */
const KILL_GRACE_MS = 20_000;
/** What k3s runs these with: the last to be killed when memory runs out, before the node's pods. */
const OOM_SCORE = -999;

/** kube-apiserver, ready when it says so to the supervisor's own certificate. Throws for a release we cannot serve. */
export function kubeApiserver(options: ControlPlaneOptions, runtime: ControlPlaneRuntime): SupervisedChild {
  const tls = serverTlsPaths(options.serverDirectory);
  const isReady = httpsProbe({
    host: options.apiserverBindAddress ?? options.loopback,
    port: options.apiserverPort,
    path: "/readyz?verbose",
    caFile: tls.serverCa.cert,
    client: tls.clientSupervisor,
  });
  const prepare = () => writeEgressConfig(options);
  return supervised({ name: "kube-apiserver", args: kubeApiserverArgs(options), isReady, prepare }, options, runtime);
}

/** kube-controller-manager; to be started once kube-apiserver is ready. */
export function kubeControllerManager(options: ControlPlaneOptions, runtime: ControlPlaneRuntime): SupervisedChild {
  const args = controllerManagerArgs(options);
  return supervised({ name: "kube-controller-manager", args, isReady: healthProbe(options, args) }, options, runtime);
}

/** kube-scheduler; to be started once kube-apiserver is ready. */
export function kubeScheduler(options: ControlPlaneOptions, runtime: ControlPlaneRuntime): SupervisedChild {
  const args = schedulerArgs(options);
  return supervised({ name: "kube-scheduler", args, isReady: healthProbe(options, args) }, options, runtime);
}

/** Asks where the arguments make the program listen. One that is told not to listen counts as ready once it runs. */
function healthProbe(options: ControlPlaneOptions, args: readonly string[]): ReadinessProbe {
  const address = listenerAddress(lastArg(args, "bind-address") ?? "", Number(lastArg(args, "secure-port")));
  if (address === undefined) return () => Promise.resolve();
  const tls = serverTlsPaths(options.serverDirectory);
  // The certificate is for the loopback addresses only.
  const name = address.host === options.loopback ? {} : { serverName: "localhost" };
  return httpsProbe({ ...address, ...name, path: "/healthz", caFile: tls.serverCa.cert });
}

/** Rewritten at each start: only that start reads it. */
async function writeEgressConfig(options: ControlPlaneOptions): Promise<void> {
  const path = egressSelectorPath(options.serverDirectory);
  await ensureDirectory(dirname(path), 0o700);
  await writeFileAtomic(path, egressSelectorConfig(options), { mode: 0o600 });
}

interface Child {
  readonly name: string;
  readonly args: readonly string[];
  readonly isReady: ReadinessProbe;
  readonly prepare?: () => Promise<void>;
}

function supervised(child: Child, options: ControlPlaneOptions, runtime: ControlPlaneRuntime): SupervisedChild {
  const file = runtime.set.path(child.name);
  return new SupervisedChild({
    name: child.name,
    log: runtime.log,
    executable: file,
    // The datastore's socket is named relative to this folder.
    command: async () => {
      await child.prepare?.();
      return { file, args: child.args, env: runtime.env, cwd: options.serverDirectory };
    },
    isReady: child.isReady,
    killGraceMs: KILL_GRACE_MS,
    oomScoreAdj: OOM_SCORE,
    ...(runtime.records === undefined ? {} : { records: runtime.records }),
  });
}

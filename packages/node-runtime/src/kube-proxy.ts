import type { ListenerAddress } from "@k3s/control-plane";
import { SupervisedChild } from "@k3s/process";
import { kubeProxyHealth } from "./health-address.ts";
import { httpProbe } from "./http-probe.ts";
import { kubeProxyArgs } from "./kube-proxy-args.ts";
import type { NodeRuntimeOptions } from "./node-runtime-options.ts";

const KILL_GRACE_MS = 5_000;
const OOM_SCORE = -999;

/** kube-proxy; to be started once kube-apiserver is ready. Ready when its first set of rules is in place. */
export function kubeProxy(options: NodeRuntimeOptions): SupervisedChild {
  const file = options.set.path("kube-proxy");
  const args = kubeProxyArgs(options);
  let health: ListenerAddress | undefined;
  return new SupervisedChild({
    name: "kube-proxy",
    log: options.log,
    executable: file,
    command: async () => {
      health = await kubeProxyHealth(args);
      return { file, args, env: { ...options.env, PATH: options.path } };
    },
    isReady: httpProbe("/healthz", () => health),
    killGraceMs: KILL_GRACE_MS,
    oomScoreAdj: OOM_SCORE,
    ...(options.records === undefined ? {} : { records: options.records }),
  });
}

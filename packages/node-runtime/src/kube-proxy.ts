import { SupervisedChild } from "@k3s/process";
import { httpProbe } from "./http-probe.ts";
import { KUBE_PROXY_HEALTH_PORT, kubeProxyArgs } from "./kube-proxy-args.ts";
import type { NodeRuntimeOptions } from "./node-runtime-options.ts";

const KILL_GRACE_MS = 5_000;
const OOM_SCORE = -999;

/** kube-proxy; to be started once kube-apiserver is ready. Ready when its first set of rules is in place. */
export function kubeProxy(options: NodeRuntimeOptions): SupervisedChild {
  const file = options.set.path("kube-proxy");
  return new SupervisedChild({
    name: "kube-proxy",
    log: options.log,
    executable: file,
    command: () => ({ file, args: kubeProxyArgs(options), env: { ...options.env, PATH: options.path } }),
    isReady: httpProbe({ host: options.loopback, port: KUBE_PROXY_HEALTH_PORT, path: "/healthz" }),
    killGraceMs: KILL_GRACE_MS,
    oomScoreAdj: OOM_SCORE,
    ...(options.records === undefined ? {} : { records: options.records }),
  });
}

import type { ControlPlaneOptions } from "../src/control-plane-options.ts";

/** A server with every optional part switched on, so that every flag we know to pass is passed. */
export function fullOptions(changes: Partial<ControlPlaneOptions> = {}): ControlPlaneOptions {
  return {
    kubernetesVersion: "v1.20.2",
    serverDirectory: "/data/server",
    loopback: "127.0.0.1",
    apiserverPort: 6444,
    httpsPort: 6443,
    advertiseAddress: "192.0.2.10",
    clusterCidrs: ["10.42.0.0/16", "fd00:42::/56"],
    serviceCidrs: ["10.43.0.0/16", "fd00:43::/112"],
    serviceNodePortRange: "30000-32767",
    clusterDomain: "cluster.local",
    etcd: { servers: "https://127.0.0.1:2379", tls: { ca: "/ca", cert: "/cert", key: "/key" } },
    singleServerDatastore: true,
    cloudController: true,
    egressMode: "agent",
    preferExternalKubeletAddress: false,
    secretsEncryption: true,
    verbosity: 2,
    vmodule: "reflector=4",
    apiserverArgs: [],
    controllerManagerArgs: [],
    schedulerArgs: [],
    ...changes,
  };
}

/** `--name=value` arguments by name. */
export function flagsOf(args: readonly string[]): Map<string, string> {
  return new Map(
    args.map((arg) => {
      const equals = arg.indexOf("=");
      return [arg.slice(2, equals), arg.slice(equals + 1)];
    }),
  );
}

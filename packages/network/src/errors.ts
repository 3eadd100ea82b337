import { NodeError } from "@k3s/errors";

/** The pod network cannot be had on this machine as it is. */
export class NetworkError extends NodeError {
  override readonly name = "NetworkError";

  static unknownBackend(name: string): NetworkError {
    return new NetworkError("ERR_NETWORK_BACKEND", `Cannot join the pod network: its backend is "${name}"`, {
      hint: "This version serves vxlan, host-gw and none: change --flannel-backend on the servers",
    });
  }

  static noPlugin(folder: string): NetworkError {
    return new NetworkError(
      "ERR_NETWORK_NO_PLUGIN",
      `Cannot lay the pod network out: no CNI plugin "flannel" in "${folder}"`,
      {
        hint: "Start the executable that the build leaves in dist/, which is that plugin, or put the plugin there",
      },
    );
  }

  static noInterface(wanted: string): NetworkError {
    return new NetworkError("ERR_NETWORK_NO_INTERFACE", `Cannot reach other nodes: ${wanted}`, {
      hint: "Give this machine a default route, or name the interface with --flannel-iface or its address with --node-ip",
    });
  }

  static refused(what: string, cause: unknown): NetworkError {
    return new NetworkError("ERR_NETWORK_REFUSED", `Cannot ${what}: the kernel refuses`, {
      hint: "EPERM: the process lacks CAP_NET_ADMIN; EOPNOTSUPP: the kernel lacks the feature (vxlan: use --flannel-backend=host-gw); ENETUNREACH with host-gw: the nodes are not on one wire",
      cause,
    });
  }

  static rules(program: string, cause: unknown): NetworkError {
    return new NetworkError("ERR_NETWORK_RULES", `Cannot set packet rules: ${program} failed`, {
      hint: "Install iptables 1.8 or newer, or start with --prefer-bundled-bin",
      cause,
    });
  }
}

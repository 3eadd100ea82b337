import { NodeError } from "@k3s/errors";

/** The load balancer cannot be started as it is configured. */
export class LoadBalancerError extends NodeError {
  override readonly name = "LoadBalancerError";

  static invalidServerUrl(url: string): LoadBalancerError {
    return new LoadBalancerError("ERR_LB_SERVER_URL", `Cannot use server URL "${url}": it names no host and port`, {
      hint: "Give the URL of a server, for instance https://10.0.0.1:6443",
    });
  }

  static unknownProxy(url: string): LoadBalancerError {
    return new LoadBalancerError("ERR_LB_PROXY", `Cannot use proxy "${url}": its kind is not known`, {
      hint: "Set HTTPS_PROXY to a URL of http, https or socks5, or unset K3S_AGENT_HTTP_PROXY_ALLOWED",
    });
  }

  /** `variable`: where the text came from; the text is not shown, it may hold a password. */
  static invalidProxy(variable: string): LoadBalancerError {
    return new LoadBalancerError("ERR_LB_PROXY_URL", `Cannot use the proxy of ${variable}: its value is no URL`, {
      hint: `Set ${variable} to a URL of http, https or socks5, for instance http://proxy.example:3128, or unset K3S_AGENT_HTTP_PROXY_ALLOWED`,
    });
  }

  static addressInUse(address: string, cause: unknown): LoadBalancerError {
    return new LoadBalancerError("ERR_LB_ADDRESS_IN_USE", `Cannot listen on ${address}: another program does`, {
      hint: `Find it with: ss -ltnp "sport = :${address.slice(address.lastIndexOf(":") + 1)}"; stop it, or choose another port with --lb-server-port`,
      cause,
    });
  }

  static addressUnavailable(address: string, cause: unknown): LoadBalancerError {
    return new LoadBalancerError("ERR_LB_ADDRESS_UNAVAILABLE", `Cannot listen on ${address}: the machine lacks it`, {
      hint: "Bring the loopback interface up: ip link set lo up",
      cause,
    });
  }

  static portForbidden(address: string, cause: unknown): LoadBalancerError {
    return new LoadBalancerError("ERR_LB_PORT_FORBIDDEN", `Cannot listen on ${address}: the port needs privileges`, {
      hint: "Run as root, or choose a port above 1023 with --lb-server-port",
      cause,
    });
  }
}

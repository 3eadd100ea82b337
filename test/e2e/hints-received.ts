import type { K3sServer } from "@k3s/testkit";

/** How often other servers told this one of a commit. */
export async function hintsReceived({ host }: K3sServer): Promise<number> {
  const socket = ["--unix-socket", "/var/lib/rancher/k3s/server/kine.sock"];
  const text = await host.run("curl", "-s", ...socket, "http://localhost/metrics");
  return Number(/k3s_datastore_hints_total\{outcome="received"\} (\d+)/.exec(text)?.[1] ?? 0);
}

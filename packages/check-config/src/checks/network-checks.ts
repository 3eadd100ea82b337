import { missing, ok, unknown, type Answer, type Check } from "../check.ts";
import type { HostFacts, PortFacts } from "../host-facts.ts";
import { machineRule } from "./machine-rule.ts";

/** Interfaces of other pod networks. */
const FOREIGN_NETWORKS = /^(cali|cilium|weave|antrea|ovn|kube-ipvs|kube-bridge|nodelocaldns)/;
/** What pods and other nodes have to reach; the ranges are the defaults. */
const NEEDED = ["6443/tcp", "10250/tcp", "8472/udp", "10.42.0.0/16", "10.43.0.0/16"];

export const NETWORK_CHECKS: readonly Check[] = [
  ...machineRule("iptables", "iptables", { group: "Network", severity: "required" }),
  {
    ...{ id: "iptables-version", group: "Network", title: "iptables version", severity: "recommended" },
    cure: "Install iptables 1.8.8 or newer, or start k3s with --prefer-bundled-bin",
    examine: ({ machine: { iptables } }) => {
      if (iptables.backend === "missing") return undefined;
      const found = `v${iptables.version} (${iptables.backend === "nft" ? "nf_tables" : "legacy"})`;
      if (!isFaulty(iptables)) return ok(found);
      return missing(found, { effect: "Rules are doubled with every change until the machine stands still" });
    },
  },
  {
    ...{ id: "default-route", group: "Network", title: "default route", severity: "recommended" },
    cure: "ip route add default via GATEWAY; without a network: ip link add dummy0 type dummy, an address on it, ip route add default dev dummy0",
    examine: ({ network }) =>
      network.hasDefaultRoute
        ? ok("there")
        : missing("there is none", {
            effect: "The address of the node is a guess, and services cannot be reached from it",
          }),
  },
  {
    ...{ id: "routes", group: "Network", title: "ranges of pods and services", severity: "required" },
    cure: "Choose other ranges with --cluster-cidr and --service-cidr, on every server",
    examine: ({ network: { overlappingRoutes: routes } }) =>
      routes.length === 0
        ? ok("no route leads into them")
        : missing(routes.map(({ range, route, via }) => `${range} overlaps the route ${route} by ${via}`).join("; ")),
  },
  {
    ...{ id: "firewalld", group: "Network", title: "firewalld", severity: "recommended" },
    cure: "firewall-cmd --permanent --add-port=6443/tcp --add-port=10250/tcp --add-port=8472/udp; firewall-cmd --permanent --zone=trusted --add-source=10.42.0.0/16 --add-source=10.43.0.0/16; firewall-cmd --reload",
    examine: ({ firewall }) => examineFirewall(firewall.firewalld),
  },
  {
    ...{ id: "ufw", group: "Network", title: "ufw", severity: "recommended" },
    cure: "ufw allow 6443/tcp; ufw allow 10250/tcp; ufw allow 8472/udp; ufw allow from 10.42.0.0/16; ufw allow from 10.43.0.0/16",
    examine: ({ firewall }) => examineFirewall(firewall.ufw),
  },
  {
    ...{ id: "input-policy", group: "Network", title: "packets to this machine", severity: "recommended" },
    cure: `Let in ${NEEDED.join(", ")}`,
    examine: ({ firewall }) => {
      if (firewall.firewalld !== undefined || firewall.ufw !== undefined) return undefined;
      return policy(firewall.inputPolicy, "Pods and other nodes may not reach this one");
    },
  },
  {
    ...{ id: "forward-policy", group: "Network", title: "packets through this machine", severity: "optional" },
    cure: "iptables -P FORWARD ACCEPT, unless rules of your own let through what comes from and goes to 10.42.0.0/16",
    examine: ({ firewall }) => policy(firewall.forwardPolicy, "Only what a rule lets through reaches pods"),
  },
  {
    ...{ id: "network-manager", group: "Network", title: "NetworkManager", severity: "recommended" },
    cure: "printf '[keyfile]\\nunmanaged-devices=interface-name:cni*;interface-name:flannel*;interface-name:veth*\\n' > /etc/NetworkManager/conf.d/k3s.conf; systemctl reload NetworkManager",
    examine: ({ network }) => {
      if (network.networkManager === "manages-pods")
        return missing("it manages every interface", { effect: "It may take addresses and routes from those of pods" });
      return ok(network.networkManager === "absent" ? "not running" : "leaves the interfaces of pods alone");
    },
  },
  {
    ...{ id: "nm-cloud-setup", group: "Network", title: "nm-cloud-setup", severity: "recommended" },
    cure: "systemctl disable --now nm-cloud-setup.service nm-cloud-setup.timer, then reboot",
    examine: ({ network }) =>
      network.cloudSetup ? missing("it is enabled", { effect: "Its routing rules cut pods off" }) : ok("not enabled"),
  },
  {
    ...{ id: "pod-interfaces", group: "Network", title: "interfaces of pod networks", severity: "recommended" },
    cure: "Remove what is left of the other network, for instance: ip link delete cni0; ip link delete flannel.1",
    examine: examineInterfaces,
  },
];

/** One check for each port, as the ports come from the configuration. */
export function portChecks(ports: readonly PortFacts[]): Check[] {
  return ports.map(({ port, purpose }) => ({
    ...{ id: `port-${port}`, group: "Ports", title: `port ${port} for ${purpose}`, severity: "required" },
    cure: "Stop that process, or choose another port with --https-listen-port or an argument of that component",
    examine: (facts: HostFacts) => examinePort(facts.ports.find((found) => found.port === port)),
  }));
}

function examinePort(found: PortFacts | undefined): Answer | undefined {
  if (found === undefined) return undefined;
  const { takenBy } = found;
  if (takenBy === undefined) return ok("free");
  if (takenBy.isOurs) return ok(`used by ${takenBy.name} of this k3s`);
  const pid = takenBy.pid === undefined ? "" : `, process ${takenBy.pid}`;
  return missing(`taken by ${takenBy.name}${pid}`);
}

/** 1.8.0 to 1.8.4 with nf_tables lose track of the rules that they have set. */
function isFaulty({ backend, version }: HostFacts["machine"]["iptables"]): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  return backend === "nft" && major === 1 && minor === 8 && patch < 5;
}

function examineFirewall(letIn: readonly string[] | undefined): Answer {
  if (letIn === undefined) return ok("not active");
  const shut = NEEDED.filter((wanted) => !letIn.some((open) => open === "Anywhere" || covers(open, wanted)));
  if (shut.length === 0) return ok("active, lets in what a node needs");
  return missing(`active, and keeps out ${shut.join(", ")}`, { effect: "Other nodes or pods cannot reach this one" });
}

/** `6443` stands for both protocols, `10000:11000/tcp` and `10000-11000/tcp` for a range. */
function covers(open: string, wanted: string): boolean {
  if (open === wanted) return true;
  const [ports = "", protocol] = open.split("/");
  const [port = "", wantedProtocol] = wanted.split("/");
  if (!/^\d+$/.test(port) || (protocol !== undefined && protocol !== wantedProtocol)) return false;
  const [first = 0, last = first] = ports.split(/[:-]/).map(Number);
  return Number(port) >= first && Number(port) <= last;
}

function policy(found: string | undefined, effect: string): Answer {
  if (found === undefined) return unknown("the rules of iptables cannot be read");
  return found === "ACCEPT" ? ok("let in unless a rule says otherwise") : missing(`policy ${found}`, { effect });
}

function examineInterfaces({ network: { interfaces }, software }: HostFacts): Answer {
  const ours = software.dataDirUsed ? [] : interfaces.filter((name) => name === "cni0" || name.startsWith("flannel."));
  const foreign = [...ours, ...interfaces.filter((name) => FOREIGN_NETWORKS.test(name))];
  if (foreign.length === 0) return ok("none of others");
  return missing(`${foreign.join(", ")} of another pod network`, {
    effect: "Two networks on a machine take packets from each other",
  });
}

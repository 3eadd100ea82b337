import { Elected, electionTimes, K3S_TIMES, LeaderElection, type ElectionTimes } from "@k3s/controllers";
import { atOnce, type Component } from "@k3s/lifecycle";
import type { ServerParts } from "./server-parts.ts";

interface ElectedPart {
  readonly name: string;
  /** In kube-system; who has it runs the members. */
  readonly lease: string;
  readonly times: (parts: ServerParts) => ElectionTimes;
  readonly members: () => readonly Component[];
}

/** Components of which a cluster needs one. A server that shares its datastore with nobody runs them without asking. */
export function electedPart(parts: ServerParts, { name, lease, times, members }: ElectedPart): Component {
  const { config, host, clients, datastore } = parts;
  if (!datastore.isShared) return atOnce(name, members());
  const log = host.log.child({ component: name });
  const election = new LeaderElection({
    client: () => clients.get("supervisor"),
    name: lease,
    identity: config.nodeName,
    times: times(parts),
    log,
  });
  return new Elected({ name, election, members, log });
}

/** For `kube-system/k3s`: the variables of k3s count. */
export function k3sTimes({ host }: ServerParts): ElectionTimes {
  const times = electionTimes(host.env);
  if (times === undefined)
    host.log.warn({}, "CATTLE_ELECTION_* contradict each other or are no durations: the lease keeps its usual times");
  return times ?? K3S_TIMES;
}

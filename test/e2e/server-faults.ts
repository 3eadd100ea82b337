import type { K3sServer, TestNetwork } from "@k3s/testkit";

/** What can happen to a server of several. */
export interface ServerFault {
  /** Of the server, for titles. */
  readonly what: string;
  /** How long it lasts at least, where that is not left to the test; in milliseconds. */
  readonly lastsMs?: number;
  /** What the server says of it in its log. */
  readonly said?: RegExp;
  /** The server goes on answering, if slowly. */
  readonly isServing?: boolean;
  readonly begin: (server: K3sServer) => Promise<void>;
  /** The server may take its time until it works again. */
  readonly end: (server: K3sServer) => Promise<void>;
}

/** The process and, with it, the control plane; connections to it are refused. `restart` starts it as it was started before. */
export function killed(restart: (server: K3sServer) => void): ServerFault {
  return {
    what: "killed",
    begin: async (server) => {
      await server.host.run("kill", "-9", ...(await server.supervisors()).map(String));
      await server.ended();
    },
    end: (server) => {
      restart(server);
      return Promise.resolve();
    },
  };
}

/** Every process of the host stands still. The kernel goes on and accepts connections. */
export const FROZEN: ServerFault = {
  what: "frozen",
  begin: ({ host }) => host.freeze(),
  end: ({ host }) => host.thaw(),
};

/** No packet comes or goes, and nobody is told. */
export function cutOff(network: TestNetwork): ServerFault {
  return {
    what: "cut off",
    begin: ({ host }) => network.cut(host.name),
    end: ({ host }) => network.mend(host.name),
  };
}

/** Of a server in another country, over a radio link. */
const BAD_PATH = { delayMs: 25, lossShare: 0.03 };

/** Each packet comes and goes late, and some do not: slow, but no reason to give the server up. */
export function onBadPath(network: TestNetwork): ServerFault {
  return {
    what: "on a bad path",
    lastsMs: 10_000,
    isServing: true,
    begin: async ({ host }) => {
      await network.delay(host.name, BAD_PATH.delayMs);
      await network.lose(host.name, BAD_PATH.lossShare);
    },
    end: async ({ host }) => {
      const lost = await network.lost(host.name);
      await network.lose(host.name, 0);
      await network.delay(host.name, 0);
      if (lost === 0) throw new Error(`Cannot have ${host.name} on a bad path: no packet was lost`);
    },
  };
}

/** Longer than it takes until a node counts as lost whose kubelet cannot report: 40 s. */
const NODE_LOST_MS = 50_000;
/** What a server says when its API does not answer, and when it does again. */
export const API_DEAD = /the API does not answer: tunnels are closed/;
export const API_BACK = /the API answers again: agents are taken/;
/** A card that nobody has: what is sent there is lost. */
const NOWHERE = "02:00:00:00:00:01";

/** kube-apiserver stands still, with every connection to it; the supervisor goes on. */
export const API_FROZEN: ServerFault = {
  what: "left with a frozen API",
  lastsMs: NODE_LOST_MS,
  said: API_DEAD,
  begin: (server) => signalApi(server, "-STOP"),
  end: (server) => signalApi(server, "-CONT"),
};

/** No packet comes through from the server to the database; everybody else reaches both. */
export function withoutDatabase(address: string): ServerFault {
  const neighbour = ["to", address, "dev", "eth0"];
  return {
    what: "left without its database",
    lastsMs: NODE_LOST_MS,
    said: API_DEAD,
    begin: async ({ host }) => {
      await host.run("ip", "neigh", "replace", ...neighbour, "lladdr", NOWHERE, "nud", "permanent");
    },
    end: async ({ host }) => {
      await host.run("ip", "neigh", "del", ...neighbour);
    },
  };
}

async function signalApi(server: K3sServer, signal: "-STOP" | "-CONT"): Promise<void> {
  const pid = (await server.children()).get("kube-apiserver");
  if (pid === undefined) throw new Error(`Cannot send ${signal} to kube-apiserver of ${server.host.name}: none runs`);
  await server.host.run("kill", signal, String(pid));
}

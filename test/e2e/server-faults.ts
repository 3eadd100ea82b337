import type { K3sServer, TestNetwork } from "@k3s/testkit";

/** What can happen to a server of several. */
export interface ServerFault {
  /** Of the server, for titles. */
  readonly what: string;
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

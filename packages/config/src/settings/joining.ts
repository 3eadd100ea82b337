import { parsePort, parseText } from "../parsers.ts";
import { switchSetting, valueSetting } from "../setting.ts";

export const joiningSettings = {
  server: valueSetting({
    category: "Cluster",
    roles: ["server", "agent"],
    short: "s",
    env: "K3S_URL",
    placeholder: "URL",
    help: "Server of the cluster to join, https://host:6443; a server that shares a datastore compares its settings with it",
    agentTexts: { help: "Server of the cluster to join, https://host:6443; the others are learned from it" },
    fallback: undefined,
    parse: parseText, // checked with the token: what is wrong with it is said in k3s's words
  }),
  "lb-server-port": valueSetting({
    category: "Client",
    roles: ["agent"],
    env: "K3S_LB_SERVER_PORT",
    placeholder: "PORT",
    help: "Loopback port on which this node reaches the servers, whichever of them live",
    fallback: 6444,
    fallbackText: "6444",
    parse: parsePort,
  }),
  "disable-apiserver-lb": switchSetting({
    category: "Client",
    roles: ["agent"],
    env: "K3S_DISABLE_APISERVER_LB",
    help: "Reach the API at --server alone, an address that outlives servers: no port on the loopback address, no change to another server",
    fallback: false,
  }),
  "with-node-id": switchSetting({
    category: "Node",
    roles: ["server", "agent"],
    env: "K3S_WITH_NODE_ID",
    help: "Append an id that is made once for this machine to the name of the node",
    fallback: false,
  }),
} as const;

export {
  decideEgress,
  type EgressKnowledge,
  type EgressMode,
  type EgressNode,
  type EgressRoute,
} from "./decide-egress.ts";
export { isDialAllowed, type DialNetworks } from "./dial-rules.ts";
export { EgressError, EgressProxy, type ConnectRequest, type EgressProxyOptions } from "./egress-proxy.ts";
export { EgressTable, type NodeEntry, type PodEntry } from "./egress-table.ts";
export { NoSessionError, TunnelStreamError } from "./errors.ts";
export type { DialTarget } from "./frame.ts";
export type { TunnelEndpoint } from "./open-web-socket.ts";
export { CONNECT_PATH } from "./session-defaults.ts";
export type { DialRules } from "./tunnel-acceptor.ts";
export { TunnelClient, type TunnelClientOptions, type TunnelState, type TunnelStatus } from "./tunnel-client.ts";
export { TunnelServer, type TunnelRequest, type TunnelServerOptions } from "./tunnel-server.ts";

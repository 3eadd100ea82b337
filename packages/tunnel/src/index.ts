export { NoSessionError, ProtocolError, TunnelError, TunnelStreamError } from "./errors.ts";
export { CONNECT_PATH } from "./session-defaults.ts";
export { TunnelClient, type TunnelClientOptions, type TunnelState, type TunnelStatus } from "./tunnel-client.ts";
export { TunnelServer, type TunnelRequest, type TunnelServerOptions } from "./tunnel-server.ts";

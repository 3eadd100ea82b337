export { agentComponents } from "./agent-components.ts";
export { Member } from "./member.ts";
export { nodeTunnels } from "./node-tunnels.ts";
export { WaitingLog } from "./waiting-log.ts";

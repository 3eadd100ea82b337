export { agentComponents } from "./agent-components.ts";

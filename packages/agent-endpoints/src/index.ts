export { agentRoutes } from "./agent-routes.ts";
export { NodeCheck } from "./node-check.ts";
export { ApiServerAddresses } from "./api-server-addresses.ts";
export { NodeNames, type AddressHolder } from "./node-names.ts";
export { NodePasswordKeeper } from "./node-password-keeper.ts";
export { NodePasswords } from "./node-passwords.ts";
export { TokenReviewer } from "./token-reviewer.ts";

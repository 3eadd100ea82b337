import type { NodeConfig } from "./node-config.ts";

/** Everything an agent was told, checked, completed and frozen. */
export interface AgentConfig extends NodeConfig {
  /** `https://host:port` of the server to join at first. */
  readonly server: string;
  /** Content of the flag or of the token file; undefined where an earlier join left a certificate. */
  readonly token: string | undefined;
  /** Whether `nodeIp` was given; otherwise it is what was found on the machine, one address per family. */
  readonly isNodeIpGiven: boolean;
  /** Loopback port on which programs of the node reach the servers. */
  readonly lbServerPort: number;
  /** Whether they reach `server` directly instead, and nothing else when that is gone. */
  readonly disableApiserverLb: boolean;
  /** Whether profiles of this process can be had over HTTPS. */
  readonly enablePprof: boolean;
}

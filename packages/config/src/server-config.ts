import type { DatastoreTls } from "@k3s/datastore-endpoint";
import type { NetworkConfig } from "./derive-network.ts";
import type { NodePaths } from "./paths.ts";
import type { ServerValues } from "./server-settings.ts";

/** What follows from the settings and the machine. */
interface Derived extends NetworkConfig {
  readonly nodeName: string;
  /** The id of this machine in that name, as long as it stands in no file: see saveNodeId. */
  readonly newNodeId: string | undefined;
  readonly dataDir: string;
  readonly paths: NodePaths;
  /** Content of the flag or of the token file; undefined: made at the first start, or read from the data dir. */
  readonly token: string | undefined;
  /** Undefined: agents join with the password of `token`. */
  readonly agentToken: string | undefined;
  readonly datastoreTls: DatastoreTls;
  /** Group that owns the kubeconfig. */
  readonly writeKubeconfigGroup: number | undefined;
  /** Names and addresses that the certificate of the API always carries. */
  readonly servingSans: readonly string[];
  /** What the config files say, as arguments with secrets masked. */
  readonly fileArguments: readonly string[];
  /** Settings that were read but have no effect, as sentences for the log. */
  readonly warnings: readonly string[];
}

/** Everything a server was told, checked, completed and frozen. */
export type ServerConfig = Omit<ServerValues, keyof Derived> & Derived;

import { loadServerConfig, type ServerConfig } from "@k3s/config";

/** The configuration that these flags make on a machine with one address and no file of settings. */
export async function loadConfig(flags: Readonly<Record<string, string>>): Promise<ServerConfig> {
  return await loadServerConfig({
    flags: new Map(Object.entries(flags).map(([name, text]) => [name, [text]])),
    unknownFlags: [],
    env: { K3S_CONFIG_FILE: "/dev/null" },
    host: {
      hostname: "node-1",
      isRoot: true,
      home: "/root",
      addresses: { 4: "192.0.2.7" },
      everyAddress: ["127.0.0.1", "192.0.2.7"],
      groups: new Map(),
    },
    signal: AbortSignal.timeout(10_000),
  });
}

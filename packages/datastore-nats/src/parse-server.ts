interface ServerAddress {
  /** Without the brackets of IPv6. */
  readonly host: string;
  /** Empty where none is named. */
  readonly port: string;
}

/** Reads `host:port`, with or without a scheme before it; undefined where that cannot be. */
export function parseServer(server: string): ServerAddress | undefined {
  const url = URL.parse(server.includes("://") ? server : `nats://${server}`);
  if (url === null) return undefined;
  return { host: url.hostname.replace(/^\[(.*)\]$/, "$1"), port: url.port };
}

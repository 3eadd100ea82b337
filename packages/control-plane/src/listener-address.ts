/** Where a program's listener can be reached from this machine. */
export interface ListenerAddress {
  readonly host: string;
  readonly port: number;
}

/** Addresses that mean "all of this machine", and the one to ask there. */
const EVERYWHERE: Readonly<Record<string, string>> = { "": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1" };

/** The listener bound to `host` as seen from this machine; undefined when port 0 says that there is none. */
export function listenerAddress(host: string, port: number): ListenerAddress | undefined {
  return port === 0 ? undefined : { host: EVERYWHERE[host] ?? host, port };
}

/** The value that counts for the flag `name` among merged `--name=value` arguments: the last one. */
export function lastArg(args: readonly string[], name: string): string | undefined {
  const start = `--${name}=`;
  return args.findLast((arg) => arg.startsWith(start))?.slice(start.length);
}

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Environment } from "../src/environment.ts";
import { ConfigError } from "../src/errors.ts";
import type { HostFacts } from "../src/host-facts.ts";
import { loadServerConfig } from "../src/load-server-config.ts";
import type { ServerConfig } from "../src/server-config.ts";

/** A machine with one IPv4 address. */
export const HOST: HostFacts = {
  hostname: "Box-1.example.org",
  isRoot: true,
  home: "/root",
  addresses: { 4: "192.0.2.7" },
  everyAddress: ["127.0.0.1", "192.0.2.7", "2001:db8::7"],
  groups: new Map([["staff", 50]]),
};

export interface Given {
  readonly flags?: Readonly<Record<string, readonly string[] | string>>;
  readonly unknownFlags?: readonly string[];
  readonly env?: Environment;
  readonly host?: Partial<HostFacts>;
}

/** Loads from flags and variables alone unless a config file is named. */
export async function load(given: Given = {}): Promise<ServerConfig> {
  const flags = Object.entries(given.flags ?? {}).map(([name, texts]) => [name, [texts].flat()] as const);
  return await loadServerConfig({
    flags: new Map(flags),
    unknownFlags: given.unknownFlags ?? [],
    env: { K3S_CONFIG_FILE: "/dev/null", ...given.env },
    host: { ...HOST, ...given.host },
    signal: AbortSignal.timeout(10_000),
  });
}

/** The lines of the error that lists every mistake. */
export async function problemsOf(given: Given): Promise<readonly string[]> {
  try {
    await load(given);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message
      .split("\n")
      .slice(1)
      .map((line) => line.trim());
  }
  return [];
}

/** A folder that is gone after the test. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-config-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

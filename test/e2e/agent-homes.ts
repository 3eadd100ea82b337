import { createHash } from "node:crypto";
import type { K3sServer } from "@k3s/testkit";

/** How many connections of the machine lead to a server. */
export async function connectionsTo({ host }: K3sServer, address: string): Promise<number> {
  const found = await host.run("ss", "-Htn", "state", "established", "dst", `${address}:6443`);
  return found.split("\n").filter((line) => line !== "").length;
}

/** To which of the servers an agent goes back: that with the greatest hash of its name and theirs, told apart from the code under test. */
export function homeOf(agent: string, addresses: readonly string[]): string | undefined {
  const weight = (address: string) => createHash("sha256").update(`${agent}\0${address}:6443`).digest("hex");
  return addresses.toSorted((a, b) => (weight(a) < weight(b) ? 1 : -1))[0];
}

import { join } from "node:path";
import { deadline } from "@k3s/async";
import type { NodeConfig } from "@k3s/config";
import type { Component } from "@k3s/lifecycle";
import { endLeftovers, ownerOf, type RecordsPlace } from "@k3s/process";
import type { NodeHost } from "./node-parts.ts";

/** Longer than the grace of a left-over process and what the kernel then needs to end it. */
const LEFTOVERS_LIMIT_MS = 30_000;

/** Before anything of ours runs: a kube-apiserver that was left behind holds ports and writes to the datastore. */
export function leftovers(config: NodeConfig, { log }: Pick<NodeHost, "log">): Component {
  return {
    name: "leftovers",
    start: async ({ signal }) => {
      using limit = deadline(LEFTOVERS_LIMIT_MS, "Ending left-over programs", signal);
      const count = await endLeftovers(await recordsPlace(config), log.child({ component: "leftovers" }), limit);
      if (count > 0) log.warn({ count }, "ended programs that an earlier k3s left behind");
    },
    stop: () => Promise.resolve(),
  };
}

/** A folder per data dir: the children of another one, with the same names, are not ours to end. */
export async function recordsPlace(config: Pick<NodeConfig, "dataDir" | "paths">): Promise<RecordsPlace> {
  const owner = await ownerOf(config.dataDir);
  return { directory: join(config.paths.runDir, "children", owner), owner };
}

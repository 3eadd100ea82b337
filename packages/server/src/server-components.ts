import { join } from "node:path";
import { deadline } from "@k3s/async";
import { unpackComponents } from "@k3s/components";
import type { ServerConfig } from "@k3s/config";
import { assembled, inBackground, type Component } from "@k3s/lifecycle";
import { endLeftovers, ownerOf, type RecordsPlace, ZombieReaper } from "@k3s/process";
import { serverTlsPaths } from "@k3s/pki";
import { api } from "./api.ts";
import { ApiClients } from "./api-clients.ts";
import { childEnvironment } from "./child-environment.ts";
import { controllers } from "./controllers.ts";
import { datastorePart } from "./datastore-part.ts";
import { LocalNode } from "./local-node.ts";
import type { ServerHost } from "./server-host.ts";
import { ServerState } from "./server-state.ts";
import { apiServerAccess, type ServerParts } from "./server-parts.ts";
import { startMemory } from "./start-memory.ts";
import { unpackProgress } from "./unpack-progress.ts";

/** Longer than the grace of a left-over process and what the kernel then needs to end it. */
const LEFTOVERS_LIMIT_MS = 30_000;

/**
 * A server as an ordered list. It is up once the API serves; the programs of the node go on starting after that, so that a
 * node that cannot register keeps neither the service manager nor other nodes waiting.
 */
export function serverComponents(config: ServerConfig, host: ServerHost): readonly Component[] {
  const { log } = host;
  // As process 1 we inherit every orphan of the machine, shims and pods included: somebody has to collect them.
  const reaper = process.pid === 1 ? [new ZombieReaper(log)] : [];
  return [...reaper, leftovers(config, host), assembled("server", (signal) => parts(config, host, signal))];
}

/** Before anything of ours runs: a kube-apiserver that was left behind holds ports and writes to the datastore. */
function leftovers(config: ServerConfig, { log }: ServerHost): Component {
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
async function recordsPlace(config: ServerConfig): Promise<RecordsPlace> {
  const owner = await ownerOf(config.dataDir);
  return { directory: join(config.paths.runDir, "children", owner), owner };
}

async function parts(config: ServerConfig, host: ServerHost, signal: AbortSignal): Promise<readonly Component[]> {
  const { log, componentsDir, env: inherited } = host;
  const onProgress = unpackProgress(log);
  const set = await unpackComponents({ from: componentsDir, dataDir: config.dataDir, log, onProgress, signal });
  const env = childEnvironment(config, set, inherited);
  const datastore = datastorePart(config, host);
  const access = apiServerAccess(config);
  const pair = serverTlsPaths(config.paths.serverDir).clientSupervisor;
  const clients = new ApiClients({ ...access, identities: [{ name: "supervisor", pair }] });
  const common: ServerParts = { config, host, set, env, records: await recordsPlace(config), clients, datastore };
  const node = config.disableAgent ? undefined : new LocalNode(common);
  return [
    datastore.component,
    new ServerState({
      config,
      store: datastore.bootstrapStore,
      isShared: datastore.isShared,
      apiServerUrl: access.server,
      log,
    }),
    // At the same time as the API. containerd stops last of these: the kubelet still ends its probes through it.
    ...(node === undefined ? [] : [inBackground(node.runtime)]),
    api(common),
    inBackground(controllers(common)),
    ...(node === undefined ? [] : [inBackground(node.membership)]),
    startMemory(log),
  ];
}

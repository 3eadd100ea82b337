import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { NodeError } from "@k3s/errors";
import type { ProvideOptions, SourceName } from "@k3s/components";
import type { BuildHost } from "./run-main.ts";

const SOURCES: readonly SourceName[] = ["auto", "upstream", "debian", "dir"];

/** Options of parseArgs() that say where components come from; each has an environment variable. */
export const COMPONENT_OPTIONS = {
  source: { type: "string" },
  dir: { type: "string" },
  mirror: { type: "string" },
  kubernetes: { type: "string" },
} as const;

type Values = { readonly [Name in keyof typeof COMPONENT_OPTIONS]?: string | undefined };

/** Flag beats environment. Throws ERR_BUILD_OPTION for an unknown source or a mirror that is no address. */
export function readComponentOptions(values: Values, env: BuildHost["environment"]): Omit<ProvideOptions, "out"> {
  const source = values.source ?? env["K3S_COMPONENT_SOURCE"] ?? "auto";
  const known = SOURCES.find((name) => name === source);
  if (known === undefined)
    throw new NodeError("ERR_BUILD_OPTION", `Cannot use component source "${source}": it is not known`, {
      hint: `Use one of ${SOURCES.join(", ")}`,
    });
  const mirror = values.mirror ?? env["K3S_COMPONENT_MIRROR"];
  if (mirror !== undefined && !URL.canParse(mirror))
    throw new NodeError("ERR_BUILD_OPTION", `Cannot use mirror "${mirror}": it is no address`, {
      hint: "Write it as https://host/path; each publisher's host is a folder below it",
    });
  const dir = values.dir ?? env["K3S_COMPONENT_DIR"];
  return {
    source: known,
    dir: dir === undefined ? undefined : resolve(dir),
    mirror,
    kubernetes: values.kubernetes ?? env["K3S_KUBERNETES"],
    lockFile: join(import.meta.dirname, "../components.lock.json"),
  };
}

/** Folder that outlives checkouts: K3S_CACHE_DIR, else `k3s-build` in the user's cache folder. */
export function cacheDirectory(env: BuildHost["environment"]): string {
  const named = env["K3S_CACHE_DIR"];
  if (named !== undefined && named !== "") return resolve(named);
  const base = env["XDG_CACHE_HOME"];
  return join(base === undefined || base === "" ? join(homedir(), ".cache") : base, "k3s-build");
}

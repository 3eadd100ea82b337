import { access } from "node:fs/promises";
import { SupervisedChild } from "@k3s/process";
import { kubeletHealth } from "./health-address.ts";
import { httpProbe } from "./http-probe.ts";
import { instanceMetadataEnvironment } from "./instance-metadata.ts";
import { kubeletArgs } from "./kubelet-args.ts";
import { writeKubeletFiles } from "./kubelet-files.ts";
import type { NodeRuntimeOptions } from "./node-runtime-options.ts";

const KILL_GRACE_MS = 10_000;
const OOM_SCORE = -999;

/** The kubelet with a configuration written anew before each start; to be started once containerd is ready. */
export function kubelet(options: NodeRuntimeOptions): SupervisedChild {
  const file = options.set.path("kubelet");
  let health = kubeletHealth([], {});
  return new SupervisedChild({
    name: "kubelet",
    log: options.log,
    executable: file,
    command: async () => {
      const kubernetesVersion = options.set.versions.kubernetes.text;
      const { userArgs, config } = await writeKubeletFiles({ ...options, kubernetesVersion });
      const args = kubeletArgs({
        ...withoutProvider(options),
        kubernetesVersion,
        kubeletArgs: userArgs,
        ...((await hasCredentialProvider(options)) ? { imageCredentialProvider: options.imageCredentialProvider } : {}),
      });
      health = kubeletHealth(args, config);
      const metadata = await instanceMetadataEnvironment(kubernetesVersion);
      return { file, args, env: { ...metadata, ...options.env, PATH: options.path } };
    },
    isReady: httpProbe("/healthz", () => health),
    killGraceMs: KILL_GRACE_MS,
    oomScoreAdj: OOM_SCORE,
    ...(options.records === undefined ? {} : { records: options.records }),
  });
}

function withoutProvider(options: NodeRuntimeOptions): Omit<NodeRuntimeOptions, "imageCredentialProvider"> {
  const { imageCredentialProvider: _, ...rest } = options;
  return rest;
}

async function hasCredentialProvider({ imageCredentialProvider }: NodeRuntimeOptions): Promise<boolean> {
  const { binDirectory, configFile } = imageCredentialProvider;
  return await Promise.all([access(binDirectory), access(configFile)]).then(
    () => true,
    () => false,
  );
}

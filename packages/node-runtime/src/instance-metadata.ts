import { readFile } from "node:fs/promises";
import { existsIn, kubernetesMinor } from "@k3s/control-plane";

/** Before this release the kubelet has a credential provider of AWS built in. */
const BUILT_IN_PROVIDER = { until: 27 };
/** Where an instance of EC2 shows itself: the vendor on Nitro, the version or the hypervisor's id on Xen. */
const TRACES = [
  "/sys/class/dmi/id/sys_vendor",
  "/sys/class/dmi/id/bios_vendor",
  "/sys/class/dmi/id/product_version",
  "/sys/hypervisor/uuid",
];

/**
 * What spares a kubelet the search for the metadata service of EC2 on machines that are none: where its address is
 * not answered at all, the search holds up every start by several seconds. Other credentials of AWS go on working.
 */
export async function instanceMetadataEnvironment(
  kubernetesVersion: string,
  traces: readonly string[] = TRACES,
): Promise<Record<string, string>> {
  if (!existsIn(kubernetesMinor(kubernetesVersion), BUILT_IN_PROVIDER)) return {};
  const texts = await Promise.all(traces.map((path) => readFile(path, "utf8").catch(() => "")));
  return texts.some((text) => /amazon|^ec2/i.test(text)) ? {} : { AWS_EC2_METADATA_DISABLED: "true" };
}

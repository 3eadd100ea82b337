import { NodeError } from "@k3s/errors";

/** What keeps a machine from being a Kubernetes node. */
export class NodeRuntimeError extends NodeError {
  static cgroupControllersMissing(missing: readonly string[], version: string): NodeRuntimeError {
    return new NodeRuntimeError(
      "ERR_CGROUP_CONTROLLER_MISSING",
      `Cannot run pods: cgroup ${version} offers no controller ${missing.map((name) => `"${name}"`).join(", ")}`,
      {
        hint: "Enable the controllers in the kernel's command line (cgroup_enable=memory on a Raspberry Pi) or in the container that runs this node, then start again",
      },
    );
  }

  static imageFormat(path: string, program: string, cause: unknown): NodeRuntimeError {
    return new NodeRuntimeError(
      "ERR_IMAGE_ARCHIVE_FORMAT",
      `Cannot read image archive "${path}": it needs the program "${program}", which is not installed`,
      { cause, hint: `Install ${program}, or compress the archive with gzip or zstd` },
    );
  }

  static imageImport(path: string, cause: unknown): NodeRuntimeError {
    return new NodeRuntimeError("ERR_IMAGE_IMPORT", `Cannot import image archive "${path}": containerd refused it`, {
      cause,
      hint: "Check that the file is a complete archive of images, for instance with: tar -tf FILE manifest.json",
    });
  }

  static imageDamaged(path: string, cause: unknown): NodeRuntimeError {
    return new NodeRuntimeError("ERR_IMAGE_ARCHIVE_DAMAGED", `Cannot read image archive "${path}": it is damaged`, {
      cause,
      hint: "Copy the file anew and compare checksums; the next start, or the new file, imports it",
    });
  }

  static kubeletConfig(path: string, cause: unknown): NodeRuntimeError {
    return new NodeRuntimeError("ERR_KUBELET_CONFIG", `Cannot read kubelet configuration "${path}": not usable`, {
      cause,
      hint: "The file must be a YAML document of kind KubeletConfiguration",
    });
  }

  static containerdTemplate(path: string, action: string): NodeRuntimeError {
    return new NodeRuntimeError(
      "ERR_CONTAINERD_TEMPLATE",
      `Cannot use containerd template "${path}": "${action}" is not understood`,
      { hint: 'Only {{ template "base" . }} stands for something; write the rest out, or use a drop-in file' },
    );
  }
}

/** Whether it is containerd that has refused an archive, and not the archive that cannot be read. */
export function isRefusedImport(error: unknown): boolean {
  return !(error instanceof NodeRuntimeError) || error.code === "ERR_IMAGE_IMPORT";
}

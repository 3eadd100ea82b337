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

  static imageUnknown(reference: string, cause: unknown): NodeRuntimeError {
    return new NodeRuntimeError(
      "ERR_IMAGE_UNKNOWN",
      `Cannot pull image "${reference}": its registry does not have it`,
      {
        cause,
        hint: "Correct its name or its tag in the list; it is asked for again now and then",
      },
    );
  }

  static imageUnreachable(reference: string, cause: unknown): NodeRuntimeError {
    return new NodeRuntimeError("ERR_IMAGE_PULL", `Cannot pull image "${reference}": its registry failed`, {
      cause,
      hint: "It is tried again by itself. Name a mirror, certificates or credentials in agent/etc/containerd/certs.d/REGISTRY/hosts.toml below the data folder, or put an archive of the image beside the list",
    });
  }

  static imageReference(path: string, line: number, text: string): NodeRuntimeError {
    return new NodeRuntimeError(
      "ERR_IMAGE_LIST_LINE",
      `Cannot pull line ${line} of "${path}": "${text}" is no reference of an image`,
      { hint: "Write one reference a line, as in docker.io/library/busybox:1.36; the other lines are pulled" },
    );
  }

  static imageListSize(path: string, limitBytes: number): NodeRuntimeError {
    return new NodeRuntimeError(
      "ERR_IMAGE_LIST_SIZE",
      `Cannot read list of images "${path}": it is larger than ${limitBytes} bytes`,
      { hint: "A list of images has one reference a line; files of other kinds need another name" },
    );
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

import { NodeError } from "@k3s/errors";

/** What goes wrong with the upstream programs: where they come from, and the folder they are unpacked to. */
export class ComponentError extends NodeError {
  override readonly name = "ComponentError";

  static missing(names: readonly string[], place: string): ComponentError {
    const message = `Cannot use components of "${place}": missing ${names.join(", ")}`;
    return new ComponentError("ERR_COMPONENT_MISSING", message, {
      hint: "Build or download the components again: node build/src/components.ts --out DIR",
    });
  }

  static checksum(file: { readonly path: string; readonly keptAs: string; readonly cause?: unknown }): ComponentError {
    const message = `Cannot use component "${file.path}": its checksum is not the recorded one, kept as "${file.keptAs}"`;
    return new ComponentError("ERR_COMPONENT_CHECKSUM", message, {
      hint: "Get the file again (run the same command once more); if that repeats, look for a bad disk or a tampering proxy",
      ...(file.cause === undefined ? {} : { cause: file.cause }),
    });
  }

  static notRecorded(file: {
    readonly url: string;
    readonly command: string;
    readonly cause: unknown;
  }): ComponentError {
    const message = `Cannot trust a mirror's "${file.url}": its checksum is not recorded, and its publisher cannot be asked`;
    return new ComponentError("ERR_COMPONENT_LOCK", message, {
      hint: `On a machine with internet run: ${file.command} - then copy its build/components.lock.json here`,
      cause: file.cause,
    });
  }

  static manifest(path: string, reason: string): ComponentError {
    return new ComponentError("ERR_COMPONENT_MANIFEST", `Cannot read component list "${path}": ${reason}`, {
      hint: "Build or download the components again: node build/src/components.ts --out DIR",
    });
  }

  static architecture(place: string, found: string, wanted: string): ComponentError {
    const message = `Cannot use "${place}": it is of architecture ${found}, this machine is ${wanted}`;
    return new ComponentError("ERR_COMPONENT_ARCHITECTURE", message, {
      hint: "Use a data directory and components of this machine's architecture",
    });
  }

  static newerData(dataDir: string, found: string, ours: string): ComponentError {
    const message = `Cannot use data directory "${dataDir}": written by Kubernetes ${found}, this is ${ours}`;
    return new ComponentError("ERR_DATA_DIR_NEWER", message, {
      hint: "Start the version that wrote it or a later one; going back needs a backup made before the upgrade",
    });
  }

  static unpack(dataDir: string, cause: unknown): ComponentError {
    return new ComponentError("ERR_COMPONENT_UNPACK", `Cannot unpack components to "${dataDir}": ${reasonOf(cause)}`, {
      hint: unpackHint(cause),
      cause,
    });
  }

  static noSpace(
    place: string,
    { freeBytes, neededBytes }: { readonly freeBytes: number; readonly neededBytes: number },
  ): ComponentError {
    const mib = (bytes: number) => Math.ceil(bytes / 1024 / 1024);
    const message = `Cannot unpack components to "${place}": ${mib(freeBytes)} MiB are free, ${mib(neededBytes)} MiB are needed`;
    return new ComponentError("ERR_COMPONENT_SPACE", message, {
      hint: "Free some space there, or choose a --data-dir on a larger disk",
    });
  }

  static notExecutable(place: string, cause: unknown): ComponentError {
    const message = `Cannot use "${place}" for components: programs there may not be executed`;
    return new ComponentError("ERR_COMPONENT_NOEXEC", message, {
      hint: "Mount that file system without noexec, or choose a --data-dir elsewhere",
      cause,
    });
  }

  static notInside(place: string): ComponentError {
    return new ComponentError("ERR_COMPONENT_NOT_INSIDE", `Cannot use components of "${place}": it was built without`, {
      hint: "Name a folder with the programs in K3S_COMPONENTS_DIR, or build it on a machine with the processor it is for",
    });
  }

  static damagedPayload(place: string, file: string): ComponentError {
    const message = `Cannot unpack "${file}" of "${place}": its checksum is not the recorded one`;
    return new ComponentError("ERR_COMPONENT_PAYLOAD", message, {
      hint: "Get the executable again and compare its checksum; if that repeats, look for a bad disk or a tampering proxy",
    });
  }

  static version(program: string, output: string): ComponentError {
    const message = `Cannot find the version of "${program}": it answered "${output.slice(0, 200)}"`;
    return new ComponentError("ERR_COMPONENT_VERSION", message, {
      hint: "Make sure that the file is the program of that name, for this machine, and that it can be executed",
    });
  }

  static mixedVersions(found: readonly string[]): ComponentError {
    const message = `Cannot use Kubernetes programs of different versions: found ${found.join(", ")}`;
    return new ComponentError("ERR_COMPONENT_VERSIONS_MIXED", message, { hint: "Take all programs from one release" });
  }

  static unknownRelease(text: string, known: string): ComponentError {
    return new ComponentError("ERR_COMPONENT_RELEASE", `Cannot find Kubernetes release "${text}": known are ${known}`, {
      hint: "Name a minor version such as 1.30, or a full one such as 1.30.14",
    });
  }

  static download(url: string, cause: unknown, hint?: string): ComponentError {
    const message = `Cannot download "${url}": ${reasonOf(cause)}`;
    return new ComponentError("ERR_COMPONENT_DOWNLOAD", message, {
      hint: hint ?? "Check the network, name a mirror (--mirror URL), or use another source (--source debian or dir)",
      cause,
    });
  }

  static build(step: string, detail: string): ComponentError {
    return new ComponentError("ERR_COMPONENT_BUILD", `Cannot ${step}: ${detail}`, {
      hint: "Run the same command again: finished steps are kept; K3S_CACHE_DIR names another cache folder",
    });
  }

  static unsupported(what: string, reason: string, hint: string): ComponentError {
    return new ComponentError("ERR_COMPONENT_UNSUPPORTED", `Cannot ${what}: ${reason}`, { hint });
  }
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function unpackHint(cause: unknown): string {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  if (code === "ENOSPC" || code === "EDQUOT")
    return "Free some space there (about 700 MB), or choose another --data-dir";
  if (code === "EACCES" || code === "EPERM" || code === "EROFS")
    return "Make the data directory writable for root, or choose another --data-dir";
  return "Make sure that the data directory is a folder on a local file system, or choose another --data-dir";
}

import { NodeError } from "@k3s/errors";

/** Something for a machine without internet cannot be made. */
export class AirgapError extends NodeError {
  override readonly name = "AirgapError";

  static notRoot(): AirgapError {
    return new AirgapError("ERR_AIRGAP_NOT_ROOT", "Cannot collect images: containerd runs only as root", {
      hint: "Run it with sudo",
    });
  }

  static unreachable(reference: string, cause: unknown): AirgapError {
    return new AirgapError("ERR_AIRGAP_IMAGE_UNREACHABLE", `Cannot get image "${reference}": its registry failed`, {
      hint: "Name a mirror in a folder of hosts.toml files with --hosts-dir, or give an archive that has the image with --from",
      cause,
    });
  }

  static absent(references: readonly string[]): AirgapError {
    const names = references.map((reference) => `"${reference}"`).join(", ");
    return new AirgapError("ERR_AIRGAP_IMAGE_ABSENT", `Cannot get ${names}: no archive has them`, {
      hint: "Give an archive with --from, or leave --offline out to ask their registries",
    });
  }

  static noArchive(path: string): AirgapError {
    return new AirgapError("ERR_AIRGAP_NO_ARCHIVE", `Cannot take images from "${path}": it is no image archive`, {
      hint: "Name a file that ends in .tar, .tar.gz or .tar.zst, as docker save writes it, or a folder with such files",
    });
  }

  static output(path: string, reason: string): AirgapError {
    return new AirgapError("ERR_AIRGAP_OUTPUT", `Cannot write "${path}": ${reason}`, {
      hint: "Name a file that ends in .tar, .tar.gz or .tar.zst with --output",
    });
  }

  static executable(path: string, cause: unknown): AirgapError {
    return new AirgapError("ERR_AIRGAP_EXECUTABLE", `Cannot bundle "${path}": no programs of a release are inside`, {
      hint: "Name the executable of a release with --executable",
      cause,
    });
  }

  static otherProcessor(
    path: string,
    processors: { readonly executable: string; readonly images: string },
  ): AirgapError {
    const { executable, images } = processors;
    const message = `Cannot bundle "${path}": it is for ${executable}, the images are for ${images}`;
    return new AirgapError("ERR_AIRGAP_PROCESSOR", message, {
      hint: `Make the bundle on a machine with the processor ${executable}`,
    });
  }

  static noInstaller(places: readonly string[]): AirgapError {
    const message = `Cannot find install.sh: not in ${places.map((place) => `"${place}"`).join(", ")}`;
    return new AirgapError("ERR_AIRGAP_INSTALLER", message, { hint: "Name the installer with --installer" });
  }
}

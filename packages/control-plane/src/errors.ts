import { NodeError } from "@k3s/errors";

/** What can be wrong with the Kubernetes programs we are asked to run. */
export class ControlPlaneError extends NodeError {
  static unsupportedVersion(found: string, oldest: string): ControlPlaneError {
    return new ControlPlaneError(
      "ERR_KUBERNETES_VERSION_UNSUPPORTED",
      `Cannot run Kubernetes "${found}": the oldest release whose arguments are known is ${oldest}`,
      { hint: `Use components of Kubernetes ${oldest} or newer` },
    );
  }

  static unknownVersion(found: string): ControlPlaneError {
    return new ControlPlaneError(
      "ERR_KUBERNETES_VERSION_UNKNOWN",
      `Cannot run Kubernetes: its version reads "${found}"`,
      { hint: "The version must look like v1.34.2; check that the component files belong to a release of Kubernetes" },
    );
  }
}

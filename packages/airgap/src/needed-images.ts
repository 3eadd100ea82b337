import { normalizeImageName } from "@k3s/node-runtime";
import { parseAllDocuments } from "yaml";

interface Release {
  /** The image that holds the network of each pod. */
  readonly pauseImage: string;
  /** Texts of the manifests that a server applies. */
  readonly manifests: readonly string[];
  /** Further references, as users write them. */
  readonly more: readonly string[];
}

/** References of every image that a node of this release may start without being asked to, and of `more`, in full form and sorted. */
export function neededImages({ pauseImage, manifests, more }: Release): string[] {
  const named = manifests.flatMap((text) => parseAllDocuments(text).flatMap((document) => findImages(document.toJS())));
  return [...new Set([pauseImage, ...named, ...more].map(normalizeImageName))].sort();
}

/** What stands in the field `image` of a container, wherever in an object its list is. */
function findImages(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(findImages);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, field]: [string, unknown]) =>
    /^(init|ephemeral)?containers$/i.test(key) && Array.isArray(field) ? field.flatMap(imageOf) : findImages(field),
  );
}

function imageOf(container: unknown): string[] {
  if (typeof container !== "object" || container === null || !("image" in container)) return [];
  return typeof container.image === "string" ? [container.image] : [];
}

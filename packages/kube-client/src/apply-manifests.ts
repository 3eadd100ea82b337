import { parseAllDocuments } from "yaml";
import type { KubeClient, KubeObject } from "./kube-client.ts";

interface ResourceList {
  readonly resources: readonly { readonly name: string; readonly kind: string; readonly namespaced: boolean }[];
}

/**
 * Applies each object of a YAML stream by server-side apply, as field manager `k3s`, taking over fields others own.
 * Stops at the first object the server refuses. Applying the same text again changes nothing.
 */
export async function applyManifests(client: KubeClient, yaml: string, signal: AbortSignal): Promise<void> {
  for (const document of parseAllDocuments(yaml)) {
    const object: unknown = document.toJS();
    if (object === null || object === undefined) continue;
    if (!isObject(object))
      throw new TypeError("Cannot apply manifest: a document lacks apiVersion, kind or metadata.name");
    const path = await objectPath(client, object, signal);
    await client.patch(`${path}?fieldManager=k3s&force=true`, { type: "apply", body: object }, signal);
  }
}

type Applicable = KubeObject & { readonly apiVersion: string; readonly kind: string };

function isObject(value: unknown): value is Applicable {
  if (typeof value !== "object" || value === null) return false;
  const { apiVersion, kind, metadata } = value as Partial<KubeObject>;
  return typeof apiVersion === "string" && typeof kind === "string" && typeof metadata?.name === "string";
}

async function objectPath(client: KubeClient, object: Applicable, signal: AbortSignal): Promise<string> {
  const root = object.apiVersion.includes("/") ? `/apis/${object.apiVersion}` : `/api/${object.apiVersion}`;
  const { resources } = await client.get<ResourceList>(root, signal);
  const resource = resources.find(({ name, kind }) => kind === object.kind && !name.includes("/"));
  if (resource === undefined)
    throw new Error(`Cannot apply ${object.kind} "${object.metadata.name}": ${object.apiVersion} has no such kind`);
  const namespace = resource.namespaced ? `/namespaces/${object.metadata.namespace ?? "default"}` : "";
  return `${root}${namespace}/${resource.name}/${encodeURIComponent(object.metadata.name)}`;
}

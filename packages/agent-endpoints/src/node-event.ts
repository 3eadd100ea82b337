import { randomBytes } from "node:crypto";
import { ApiError, type KubeClient, type KubeObject } from "@k3s/kube-client";

/** What `kubectl describe node` shows. */
export interface NodeEvent {
  readonly node: string;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

/** Stores an event of a node. Rejects with the API's error. */
export async function reportNodeEvent(client: KubeClient, event: NodeEvent, signal: AbortSignal): Promise<void> {
  const { node: name, type, reason, message } = event;
  const now = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const uid = (await uidOf(client, name, signal)) ?? name; // as kubelets name themselves in their events
  const object = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: `${name}.${randomBytes(8).toString("hex")}`, namespace: "default" },
    involvedObject: { apiVersion: "v1", kind: "Node", name, uid },
    ...{ type, reason, message, count: 1, firstTimestamp: now, lastTimestamp: now, source: { component: "k3s" } },
  };
  await client.create("/api/v1/namespaces/default/events", object, signal);
}

async function uidOf(client: KubeClient, name: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    return (await client.get<KubeObject>(`/api/v1/nodes/${encodeURIComponent(name)}`, signal)).metadata.uid;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

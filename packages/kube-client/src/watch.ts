import { createInterface } from "node:readline";
import { ApiError } from "./api-error.ts";
import type { KubeClient, KubeObject } from "./kube-client.ts";

export interface WatchEvent<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  readonly object: T;
}

/** The events of one watch request. Ends when the server ends it; throws ApiError for an ERROR event (410: list again). */
export async function* watch<T extends KubeObject>(
  client: KubeClient,
  path: string,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent<T>> {
  const body = await client.stream(path, signal);
  try {
    for await (const line of createInterface({ input: body, crlfDelay: Infinity })) {
      if (line === "") continue;
      const event = JSON.parse(line) as { readonly type: string; readonly object: T };
      if (event.type === "ERROR") throw errorOf(event.object);
      yield event as WatchEvent<T>; // sound: ERROR was the only other type
    }
  } finally {
    body.destroy();
  }
}

function errorOf(status: unknown): ApiError {
  const code = typeof status === "object" && status !== null && "code" in status ? Number(status.code) : 500;
  return ApiError.fromBody(code, JSON.stringify(status));
}

import { sleep } from "@k3s/async";
import type { Logger } from "@k3s/log";
import { ApiError } from "./api-error.ts";
import type { KubeClient, KubeObject } from "./kube-client.ts";
import { watch } from "./watch.ts";

export interface Followed<T> {
  /** Collection path, for instance `/api/v1/nodes`; a query (fieldSelector, …) is kept. */
  readonly path: string;
  /** Called for each object after each list and for each later change. A rejection is logged and the object is offered again after the next list. */
  readonly onObject: (object: T, signal: AbortSignal) => Promise<void>;
  /** Told before each list, also of one that fails then. */
  readonly beforeList?: () => void;
  readonly onDeleted?: (object: T) => void;
  /** Told of every object that exists, at each list, before the objects are offered one by one: what is not among them is gone. */
  readonly onListed?: (objects: readonly T[]) => void;
  readonly log: Logger;
}

interface List<T> {
  readonly items: readonly T[];
  readonly metadata: { readonly resourceVersion: string };
}

const DELAY_MIN_MS = 250;
const DELAY_MAX_MS = 15_000;
/** The server ends a watch after this; the next list then repairs whatever a failed `onObject` left undone. */
const WATCH_SECONDS = 300;

/** Lists, then watches, for as long as `signal` allows, through every failure of the API server. Never rejects. */
export async function follow<T extends KubeObject>(
  client: KubeClient,
  followed: Followed<T>,
  signal: AbortSignal,
): Promise<void> {
  let delayMs = DELAY_MIN_MS;
  while (!signal.aborted) {
    try {
      if (await round(client, followed, signal)) {
        delayMs = DELAY_MIN_MS;
        continue;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status === 410) continue;
      followed.log.debug({ error, path: followed.path }, "watch ended, listing again");
    }
    await sleep(delayMs, signal).catch(() => undefined);
    delayMs = Math.min(delayMs * 2, DELAY_MAX_MS);
  }
}

/** One list and the watch from it. False when an object could not be dealt with. */
async function round<T extends KubeObject>(
  client: KubeClient,
  followed: Followed<T>,
  signal: AbortSignal,
): Promise<boolean> {
  followed.beforeList?.();
  const list = await client.get<List<T>>(followed.path, signal);
  followed.onListed?.(list.items);
  let isClean = true;
  for (const item of list.items) isClean = (await offer(followed, item, signal)) && isClean;
  const separator = followed.path.includes("?") ? "&" : "?";
  const from = `watch=true&allowWatchBookmarks=true&timeoutSeconds=${isClean ? WATCH_SECONDS : 1}&resourceVersion=${list.metadata.resourceVersion}`;
  for await (const event of watch<T>(client, `${followed.path}${separator}${from}`, signal)) {
    if (event.type === "DELETED") followed.onDeleted?.(event.object);
    else if (event.type !== "BOOKMARK" && !(await offer(followed, event.object, signal))) return false;
  }
  return isClean;
}

async function offer<T extends KubeObject>(followed: Followed<T>, object: T, signal: AbortSignal): Promise<boolean> {
  try {
    await followed.onObject(object, signal);
    return true;
  } catch (error) {
    if (!signal.aborted)
      followed.log.warn({ error, object: object.metadata.name }, "cannot reconcile object, will try again");
    return false;
  }
}

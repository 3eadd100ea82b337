import { aborted, abortReason, deadline } from "@k3s/async";
import { DriverError } from "@k3s/datastore";
import { AckPolicy, DeliverPolicy, ReplayPolicy } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { parseDelivery, statusOf, type Delivery } from "./delivery.ts";
import { REQUEST_MS, type NatsLink } from "./nats-link.ts";

/** Messages asked for at a time, and so held in memory. */
const PAGE = 500;
/** After which the server forgets a replay that nobody reads. */
const FORGOTTEN_MS = 30_000;
/** After which a page is taken as it is from a server that skips messages: it may wait for those that it skipped. */
const SKIPPED_MS = 500;
/** What the server says when it has no more: at all, and behind what it has sent. */
const ENDS: ReadonlySet<number> = new Set([404, 408]);

export interface ReplayStart {
  readonly stream: string;
  readonly from: number;
  readonly headersOnly: boolean;
}

/**
 * Reads a stream page by page from a sequence on, up to what is its end then; less where the server skips messages. Rejects with
 * DriverError.
 */
export async function* replayPages(link: NatsLink, start: ReplayStart): AsyncGenerator<readonly Delivery[]> {
  const { stream, from, headersOnly } = start;
  const { name } = await link.run("read messages", () =>
    link.manager.consumers.add(stream, {
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: from,
      replay_policy: ReplayPolicy.Instant,
      headers_only: headersOnly,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: nanos(FORGOTTEN_MS),
    }),
  );
  try {
    for (let count = 0; ;) {
      const page = await link.run("read messages", () => nextPage(link, { stream, name, headersOnly }));
      for (const delivery of page)
        if (delivery.count !== ++count)
          throw new DriverError("failed", "Cannot read messages: one was lost on the way");
      yield page;
      if (page.length < PAGE) return;
    }
  } finally {
    // The server does it by itself when nobody asks for more.
    await link.run("end replay", () => link.manager.consumers.delete(stream, name)).catch(() => undefined);
  }
}

interface PageRequest {
  readonly stream: string;
  readonly name: string;
  readonly headersOnly: boolean;
}

async function nextPage(link: NatsLink, request: PageRequest): Promise<readonly Delivery[]> {
  const { connection, skipsMessages } = link;
  const { stream, name, headersOnly } = request;
  const page: Delivery[] = [];
  const done = Promise.withResolvers<void>();
  const inbox = link.newInbox();
  const callback = (error: Error | null, message: Parameters<typeof parseDelivery>[0]) => {
    const delivery = error === null ? parseDelivery(message, headersOnly) : undefined;
    if (error !== null) done.reject(error);
    else if (delivery !== undefined) page.push(delivery);
    else if (ENDS.has(statusOf(message))) done.resolve();
    else done.reject(new Error(`NATS answers ${message.headers?.description ?? "without a status"}`));
    if (page.length === PAGE) done.resolve();
  };
  const subscription = connection.subscribe(inbox, { callback });
  using limit = deadline(skipsMessages ? SKIPPED_MS : REQUEST_MS, "Waiting for the next messages");
  const onLimit = () => (skipsMessages ? undefined : Promise.reject(abortReason(limit)));
  try {
    const ask = JSON.stringify({ batch: PAGE, no_wait: true });
    connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${name}`, ask, { reply: inbox });
    await Promise.race([done.promise, aborted(limit).then(onLimit)]);
    return page;
  } finally {
    subscription.unsubscribe();
  }
}

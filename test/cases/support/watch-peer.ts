import { readWatch, watchRequest, type Event, type RawStream, type WatchAnswer, type WatchArgs } from "@k3s/testkit";

/** What a message is, as etcd's client tells it. */
type MessageKind = "created" | "canceled" | "events" | "progress";

/** One watch stream, message by message. */
export class WatchPeer {
  readonly stream: RawStream;

  constructor(stream: RawStream) {
    this.stream = stream;
  }

  /** Asks for a watch and takes the answer, which has to be the next message. */
  async create(args: WatchArgs): Promise<WatchAnswer> {
    this.stream.send(watchRequest.create(args));
    return await this.take("created");
  }

  cancel(watchId: number): void {
    this.stream.send(watchRequest.cancel(watchId));
  }

  requestProgress(): void {
    this.stream.send(watchRequest.progress());
  }

  /** The next message, whatever it is. Rejects with the status that the stream ended with. */
  async next(): Promise<WatchAnswer> {
    return readWatch(await this.stream.take());
  }

  /** The next message, which has to be of that kind. */
  async take(kind: MessageKind): Promise<WatchAnswer> {
    const message = await this.next();
    const actual = kindOf(message);
    if (actual !== kind) throw new Error(`Cannot take ${kind}: the next message is ${actual}, ${describe(message)}`);
    return message;
  }

  /** The next `count` events or more, passing over progress. */
  async events(count: number): Promise<Event[]> {
    const events: Event[] = [];
    while (events.length < count) {
      const message = await this.next();
      const kind = kindOf(message);
      if (kind === "events") events.push(...message.events);
      else if (kind !== "progress") throw new Error(`Cannot take events: the next message is ${describe(message)}`);
    }
    return events;
  }
}

/** Kind of a message by its fields. */
export function kindOf({ created, canceled, events }: WatchAnswer): MessageKind {
  if (created) return "created";
  if (canceled) return "canceled";
  return events.length > 0 ? "events" : "progress";
}

function describe(message: WatchAnswer): string {
  return JSON.stringify(message, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
}

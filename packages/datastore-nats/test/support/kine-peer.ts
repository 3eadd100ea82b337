import type { TestContext } from "node:test";
import type { NatsServer } from "@k3s/testkit";
import {
  DiscardPolicy,
  jetstream,
  jetstreamManager,
  StorageType,
  type JetStreamClient,
  type JetStreamManager,
} from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import { encodeBase58 } from "../../src/base58.ts";
import { readFrames } from "../../src/s2-frames.ts";
import { writeS2 } from "./s2-writer.ts";

interface Data {
  readonly KV: {
    Key: string;
    Value: string | null;
    Version: number;
    CreateRevision: number;
    ModRevision: number;
    Lease: number;
  };
  readonly PrevRevision: number;
  readonly Create: boolean;
  readonly Delete: boolean;
}

interface Entry {
  readonly seq: number;
  readonly operation: string;
  readonly reason: string;
  readonly data: Data | undefined;
}

const STREAM = "KV_kine";

/** Does what kine's documentation and NATS's key-value client say that kine does with a bucket, one operation after the other. */
export class KinePeer {
  readonly #js: JetStreamClient;
  readonly #manager: JetStreamManager;

  private constructor(js: JetStreamClient, manager: JetStreamManager) {
    this.#js = js;
    this.#manager = manager;
  }

  /** Makes the bucket, or opens one; rejects when it differs from what kine would make, as kine does. */
  static async open(t: TestContext, server: NatsServer, history = 10): Promise<KinePeer> {
    const connection = await connect({ servers: server.endpoint });
    t.after(() => connection.close());
    const manager = await jetstreamManager(connection);
    await manager.streams.add({
      name: STREAM,
      subjects: ["$KV.kine.>"],
      description: "Holds kine key/values",
      max_msgs_per_subject: history,
      max_bytes: -1,
      max_msg_size: -1,
      max_msgs: -1,
      max_consumers: -1,
      max_age: 0,
      storage: StorageType.File,
      num_replicas: 1,
      allow_rollup_hdrs: true,
      deny_delete: true,
      duplicate_window: 120_000_000_000,
      allow_direct: true,
      discard: DiscardPolicy.New,
    });
    return new KinePeer(jetstream(connection), manager);
  }

  /** Resolves with the revision; rejects when the key exists. */
  async create(key: string, value: string, lease = 0): Promise<number> {
    const data = message({ key, value, lease, create: true });
    try {
      return await this.#put(key, data, 0);
    } catch (error) {
      // NATS's client looks whether a deleted key is in the way, and goes on from its marker then.
      const [newest] = (await this.#entries(key)).slice(-1);
      if (newest === undefined || !isDeletedForClient(newest)) throw error;
      return this.#put(key, data, newest.seq);
    }
  }

  async update(key: string, value: string, lease = 0): Promise<number> {
    const before = await this.#live(key);
    const create = before.data?.Create === true ? before.seq : (before.data?.KV.CreateRevision ?? 0);
    return this.#put(key, message({ key, value, lease, createRevision: create, prev: before.seq }), before.seq);
  }

  /** Tombstone and delete marker; resolves with the revision of the tombstone. */
  async delete(key: string): Promise<number> {
    const before = await this.#live(key);
    const { data } = before;
    if (data === undefined) throw new Error(`Cannot delete ${key}: its message has no data`);
    const text = JSON.stringify({ ...data, PrevRevision: before.seq, Create: false, Delete: true });
    const seq = await this.#put(key, writeS2(Buffer.from(text)), before.seq);
    const marker = headers();
    marker.set("KV-Operation", "DEL");
    await this.#js.publish(subjectOf(key), "", { headers: marker, expect: { lastSubjectSequence: seq } });
    return seq;
  }

  /** Live keys and their values, as kine's index of the bucket has them. */
  async list(): Promise<Record<string, string>> {
    const newest = new Map<string, Entry>();
    for (const { key, entry } of await this.#all()) newest.set(key, entry);
    const live = [...newest].filter(([, { operation, data }]) => operation === "" && data?.Delete === false);
    return Object.fromEntries(
      live.map(([key, { data }]) => [key, Buffer.from(data?.KV.Value ?? "", "base64").toString()]),
    );
  }

  /** What kine's watches tell from the begin of the bucket on: `revision type key`. */
  async events(): Promise<string[]> {
    const told = (await this.#all()).filter(({ entry }) => entry.operation === "" && entry.data !== undefined);
    return told.map(({ key, entry: { seq, data } }) => {
      const type = data?.Create === true ? "create" : data?.Delete === true ? "delete" : "update";
      return `${seq} ${type} ${key}`;
    });
  }

  async #live(key: string): Promise<Entry> {
    const [newest] = (await this.#entries(key)).slice(-1);
    if (newest?.data?.Delete === false && newest.operation === "") return newest;
    throw new Error(`Cannot find ${key}: kine shows no such key`);
  }

  async #put(key: string, data: Buffer, lastSubjectSequence: number): Promise<number> {
    return (await this.#js.publish(subjectOf(key), data, { expect: { lastSubjectSequence } })).seq;
  }

  async #entries(key: string): Promise<Entry[]> {
    const all = await this.#all();
    return all.filter((one) => one.key === key).map(({ entry }) => entry);
  }

  async #all(): Promise<{ readonly key: string; readonly entry: Entry }[]> {
    const { state } = await this.#manager.streams.info(STREAM);
    const found: { readonly key: string; readonly entry: Entry }[] = [];
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const stored = await this.#manager.streams.getMessage(STREAM, { seq });
      if (stored === null) continue;
      const data = stored.data.length === 0 ? undefined : (JSON.parse(readFrames(stored.data).toString()) as Data);
      const { header } = stored;
      const entry = { seq, operation: header.get("KV-Operation"), reason: header.get("Nats-Marker-Reason"), data };
      found.push({ key: data?.KV.Key ?? keyOf(found, stored.subject), entry });
    }
    return found;
  }
}

/** A delete marker has no data: its key is the one whose subject it has. */
function keyOf(found: readonly { readonly key: string }[], subject: string): string {
  return found.find(({ key }) => subjectOf(key) === subject)?.key ?? subject;
}

function isDeletedForClient({ operation, reason }: Entry): boolean {
  return operation === "DEL" || operation === "PURGE" || (operation === "" && reason === "Remove");
}

function subjectOf(key: string): string {
  const isRooted = key.startsWith("/");
  const parts = (isRooted ? key.slice(1) : key).split("/").map((part) => encodeBase58(Buffer.from(part || "/")));
  return ["$KV", "kine", ...(isRooted ? [] : ["meta"]), ...parts].join(".");
}

interface NewMessage {
  readonly key: string;
  readonly value: string;
  readonly lease: number;
  readonly create?: boolean;
  readonly createRevision?: number;
  readonly prev?: number;
}

function message({ key, value, lease, create = false, createRevision = 0, prev = 0 }: NewMessage): Buffer {
  const bytes = Buffer.from(value).toString("base64");
  const KV = { Key: key, Value: bytes, Version: 0, CreateRevision: createRevision, ModRevision: 0, Lease: lease };
  const data: Data = { KV, PrevRevision: prev, Create: create, Delete: false };
  return writeS2(Buffer.from(JSON.stringify(data)));
}

import type { BootstrapStore } from "@k3s/bootstrap-data";
import { StoreError } from "@k3s/datastore";
import { EtcdCallError, type EtcdClient } from "@k3s/etcd-client";

/** The bootstrap record's view of an etcd. An etcd that is away rejects as our own store does, with `unavailable`. */
export function etcdBootstrapStore(client: EtcdClient): BootstrapStore {
  const write = (key: string, modRevision: number, value: string | undefined): Promise<boolean> =>
    asStoreError(
      client.write({ key: Buffer.from(key), modRevision, value: value === undefined ? value : Buffer.from(value) }),
    );
  return {
    list: async (prefix) => {
      const { kvs } = await asStoreError(client.range({ key: Buffer.from(prefix), rangeEnd: endOfPrefix(prefix) }));
      return kvs.map(({ key, value, modRevision }) => ({ key: key.toString(), value: value.toString(), modRevision }));
    },
    create: (key, value) => write(key, 0, value),
    update: (key, value, modRevision) => write(key, modRevision, value),
    delete: (key, modRevision) => write(key, modRevision, undefined),
  };
}

/** The first key behind all that start with the prefix, whose last sign is no 0xff. */
function endOfPrefix(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  end.writeUInt8(end.readUInt8(end.length - 1) + 1, end.length - 1);
  return end;
}

async function asStoreError<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof EtcdCallError && error.isAway)
      throw new StoreError("unavailable", error.message, { cause: error });
    throw error;
  }
}

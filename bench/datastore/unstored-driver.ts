import { tableTraits, type DatabaseSize, type Driver, type RowHead, type SideState } from "@k3s/datastore";

/** Stores nothing and says that it did: what is measured of a server on it is all but the storage, that of the load included. */
export class UnstoredDriver implements Driver {
  readonly traits = { ...tableTraits, takesDeletions: true };

  heads(): Promise<readonly RowHead[]> {
    return Promise.resolve([]);
  }

  side(): Promise<SideState> {
    return Promise.resolve({ leases: [], rowLeases: new Map(), spans: [] });
  }

  values(rows: readonly number[]): Promise<readonly undefined[]> {
    return Promise.resolve(rows.map(() => undefined));
  }

  commit(): Promise<void> {
    return Promise.resolve();
  }

  prune(): Promise<void> {
    return Promise.resolve();
  }

  size(): Promise<DatabaseSize> {
    return Promise.resolve({ totalBytes: 0, inUseBytes: 0 });
  }

  defragment(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

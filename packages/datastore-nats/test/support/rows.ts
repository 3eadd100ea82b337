import { DriverError, type CommitBatch, type DriverErrorKind, type NewRow } from "@k3s/datastore";

/** A batch that changes nothing, to be spread. */
export const nothing: CommitBatch = {
  after: 0,
  rows: [],
  spans: [],
  leases: [],
  endedLeases: [],
  requiredLeases: [],
  rowLeases: [],
  compactRevision: undefined,
};

/** A creation with the value `value <id>`. */
export function row(id: number, name: string, more: Partial<NewRow> = {}): NewRow {
  const plain = { created: true, deleted: false, createRevision: 0, prevRevision: 0, ttlSeconds: 0, lease: 0n };
  return { id, name, ...plain, value: Buffer.from(`value ${id}`), ...more };
}

/** For assert.rejects. */
export function ofKind(expected: DriverErrorKind): (error: unknown) => boolean {
  return (error) => error instanceof DriverError && error.kind === expected;
}

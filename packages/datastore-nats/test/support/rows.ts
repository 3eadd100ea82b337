import { DriverError, type DriverErrorKind, type NewRow } from "@k3s/datastore";

export { emptyBatch as nothing } from "@k3s/datastore";

/** A creation with the value `value <id>`. */
export function row(id: number, name: string, more: Partial<NewRow> = {}): NewRow {
  const plain = { created: true, deleted: false, createRevision: 0, prevRevision: 0, ttlSeconds: 0, lease: 0n };
  return { id, name, ...plain, value: Buffer.from(`value ${id}`), ...more };
}

/** For assert.rejects. */
export function ofKind(expected: DriverErrorKind): (error: unknown) => boolean {
  return (error) => error instanceof DriverError && error.kind === expected;
}

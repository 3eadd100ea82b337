import type { LeaseId } from "@k3s/datastore";

/**
 * A lease as all of our messages and keys name it: the 64 bits of its id, 1 to 16 hexadecimal digits, lower case, without a sign. So -1 is
 * `ffffffffffffffff`: a sign would be none of the digits that readers look for, and means the end of a lease in a note.
 */
export function formatLease(id: LeaseId): string {
  return BigInt.asUintN(64, id).toString(16);
}

/** The inverse of {@link formatLease}. `hex` is 1 to 16 hexadecimal digits. */
export function parseLease(hex: string): LeaseId {
  return BigInt.asIntN(64, BigInt(`0x${hex}`));
}

import type { Bucket } from "./bucket.ts";
import { toDriverError } from "./errors.ts";
import { unpackKineValue } from "./kine-value.ts";

/** Values of rows by id, in the order asked; undefined where there is no such row. Rejects with DriverError. */
export async function readValues(messages: Bucket, rows: readonly number[]): Promise<readonly (Buffer | undefined)[]> {
  const found = await messages.get(rows);
  try {
    return found.map((message) => {
      if (message?.data === undefined) return undefined;
      return message.data.length === 0 ? Buffer.alloc(0) : unpackKineValue(message.data).value;
    });
  } catch (error) {
    throw toDriverError("read values", error);
  }
}

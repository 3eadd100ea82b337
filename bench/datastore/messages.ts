/** The few messages of etcdserverpb that the bench sends and reads; field numbers of etcd's rpc.proto. */

const varint = (value: number): Buffer => {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
};
const number = (field: number, value: number): Buffer => Buffer.concat([varint(field * 8), varint(value)]);
const bytes = (field: number, value: Buffer): Buffer =>
  Buffer.concat([varint(field * 8 + 2), varint(value.length), value]);

/** The request of `etcdserverpb.KV/Range`. */
export function rangeRequest(key: string, options: { end?: string; limit?: number; countOnly?: boolean } = {}): Buffer {
  return Buffer.concat([
    bytes(1, Buffer.from(key)),
    ...(options.end === undefined ? [] : [bytes(2, Buffer.from(options.end))]),
    ...(options.limit === undefined ? [] : [number(3, options.limit)]),
    ...(options.countOnly === true ? [number(9, 1)] : []),
  ]);
}

/** kube-apiserver's create (`mod` 0) or update: a put guarded by the key's mod revision. */
export function guardedPut(key: string, value: Buffer, mod: number): Buffer {
  const name = Buffer.from(key);
  const compare = Buffer.concat([number(1, 0), number(2, 2), bytes(3, name), number(6, mod)]);
  const put = bytes(2, Buffer.concat([bytes(1, name), bytes(2, value)]));
  const range = bytes(1, bytes(1, name));
  return Buffer.concat([bytes(1, compare), bytes(2, put), bytes(3, range)]);
}

/** The request of `etcdserverpb.KV/Put`. */
export function putRequest(key: string, value: Buffer): Buffer {
  return Buffer.concat([bytes(1, Buffer.from(key)), bytes(2, value)]);
}

/** The request of `etcdserverpb.KV/Compact`. */
export function compactRequest(revision: number): Buffer {
  return number(1, revision);
}

/** Makes a watch on a range, from now on. */
export function watchRequest(key: string, end: string): Buffer {
  return bytes(1, Buffer.concat([bytes(1, Buffer.from(key)), bytes(2, Buffer.from(end)), number(6, 1)]));
}

/** Asks for a progress answer. */
export function progressRequest(): Buffer {
  return bytes(3, Buffer.alloc(0));
}

/** Numbers of a message by field; of repeated ones the last, of byte fields their bytes. */
function fields(message: Buffer): Map<number, number | Buffer> {
  const found = new Map<number, number | Buffer>();
  let at = 0;
  const next = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++] ?? 0;
      value += (byte % 128) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = next();
    const value = next();
    if (tag % 8 === 0) found.set(Math.floor(tag / 8), value);
    else found.set(Math.floor(tag / 8), message.subarray(at, (at += value)));
  }
  return found;
}

/** Key of the last event of a watch's answer; undefined for an answer without events. */
export function eventKey(answer: Buffer): string | undefined {
  const event = fields(answer).get(11);
  const kv = Buffer.isBuffer(event) ? fields(event).get(2) : undefined;
  const key = Buffer.isBuffer(kv) ? fields(kv).get(1) : undefined;
  return Buffer.isBuffer(key) ? key.toString() : undefined;
}

/** `revision` of an answer's header. */
export function headerRevision(answer: Buffer): number {
  const header = fields(answer).get(1);
  return Number(Buffer.isBuffer(header) ? (fields(header).get(3) ?? 0) : 0);
}

/** `succeeded` of a Txn's answer. */
export function hasSucceeded(answer: Buffer): boolean {
  return fields(answer).get(2) === 1;
}

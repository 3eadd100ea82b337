import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

const scryptAsync = promisify<string, string | Buffer, number, object, Buffer>(scrypt);

/** Parameters of the hash format of k3s: N = 2^15, r = 8, p = 1, a key of 64 bytes; needs 32 MiB while it runs. */
const LOG_N = 15;
const BLOCK_SIZE = 8;
const PARALLELIZATION = 1;
const KEY_BYTES = 64;
const MAX_MEMORY_BYTES = 64 * 1024 * 1024;

/** Hashes a password as `$1:<salt>:15:8:1:<key>`, off the event loop. The salt is 8 random bytes unless given. */
export async function hashPassword(password: string, salt: Buffer = randomBytes(8)): Promise<string> {
  const key = await deriveKey(password, salt);
  const encoded = key.toString("base64").replace(/=+$/, "");
  return `$1:${salt.toString("hex")}:${LOG_N}:${BLOCK_SIZE}:${PARALLELIZATION}:${encoded}`;
}

/** Whether the password belongs to a hash made by {@link hashPassword}. A hash of another form matches nothing. */
export async function matchesHash(password: string, hash: string): Promise<boolean> {
  const [, salt, key] = /^\$1:([0-9a-f]{16}):15:8:1:([A-Za-z0-9+/]+)$/.exec(hash) ?? [];
  if (salt === undefined || key === undefined) return false;
  const expected = Buffer.from(key, "base64");
  if (expected.length !== KEY_BYTES) return false;
  return timingSafeEqual(await deriveKey(password, Buffer.from(salt, "hex")), expected);
}

function deriveKey(password: string, salt: Buffer): Promise<Buffer> {
  const options = { N: 2 ** LOG_N, r: BLOCK_SIZE, p: PARALLELIZATION, maxmem: MAX_MEMORY_BYTES };
  return scryptAsync(password, salt, KEY_BYTES, options);
}

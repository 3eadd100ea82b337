import { createCipheriv, createDecipheriv, pbkdf2, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { BootstrapError } from "./errors.ts";

const pbkdf2Async = promisify(pbkdf2);

/** Format of k3s: PBKDF2-HMAC-SHA1 with 4096 rounds, AES-256-GCM, `<salt>:<base64 of nonce, ciphertext, tag>`. */
const ROUNDS = 4096;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = "aes-256-gcm";

/** What is random in a record; given only where the result has to be foreseeable. */
export interface RecordRandomness {
  /** 16 hex characters. */
  readonly salt: string;
  /** 12 bytes. */
  readonly nonce: Buffer;
}

/** Encrypts the content of a record with a normalised token, off the event loop. */
export async function encryptRecord(
  plaintext: string,
  password: string,
  random: RecordRandomness = { salt: randomBytes(8).toString("hex"), nonce: randomBytes(NONCE_BYTES) },
): Promise<string> {
  const cipher = createCipheriv(CIPHER, await deriveKey(password, random.salt), random.nonce);
  const body = Buffer.concat([random.nonce, cipher.update(plaintext, "utf8"), cipher.final(), cipher.getAuthTag()]);
  return `${random.salt}:${body.toString("base64")}`;
}

/** The content of a record. Rejects with BootstrapError when it is damaged or of another token. */
export async function decryptRecord(record: string, password: string): Promise<string> {
  const at = record.indexOf(":");
  if (at === -1) throw BootstrapError.malformed("invalid cipher text, not : delimited");
  const body = Buffer.from(record.slice(at + 1), "base64");
  if (body.length < NONCE_BYTES + TAG_BYTES) throw BootstrapError.malformed("cipher text is too short");
  const key = await deriveKey(password, record.slice(0, at));
  try {
    const decipher = createDecipheriv(CIPHER, key, body.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAuthTag(body.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(body.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]).toString("utf8");
  } catch (error) {
    throw BootstrapError.undecryptable(error);
  }
}

/** The salt is the characters themselves, not the bytes they encode. */
function deriveKey(password: string, salt: string): Promise<Buffer> {
  return pbkdf2Async(password, Buffer.from(salt, "latin1"), ROUNDS, KEY_BYTES, "sha1");
}

import { join } from "node:path";
import { BootstrapError } from "./errors.ts";
import { formatTimestamp, parseTimestamp, type Nanoseconds } from "./timestamp.ts";

/** One file as the record holds it. */
export interface StoredFile {
  readonly content: Buffer;
  /** Modification time; 0n in records of old releases, which had none. */
  readonly timestamp: Nanoseconds;
}

/** Member of the record → file. */
export type BootstrapContent = ReadonlyMap<string, StoredFile>;

const FILES = {
  ETCDServerCA: "tls/etcd/server-ca.crt",
  ETCDServerCAKey: "tls/etcd/server-ca.key",
  ETCDPeerCA: "tls/etcd/peer-ca.crt",
  ETCDPeerCAKey: "tls/etcd/peer-ca.key",
  ServerCA: "tls/server-ca.crt",
  ServerCAKey: "tls/server-ca.key",
  ClientCA: "tls/client-ca.crt",
  ClientCAKey: "tls/client-ca.key",
  RequestHeaderCA: "tls/request-header-ca.crt",
  RequestHeaderCAKey: "tls/request-header-ca.key",
  ServiceKey: "tls/service.key",
  PasswdFile: "cred/passwd",
  IPSECKey: "cred/ipsec.psk",
} as const;

const ENCRYPTION_FILES = {
  EncryptionConfig: "cred/encryption-config.json",
  EncryptionHash: "cred/encryption-state.json",
} as const;

/** Member → path of every file that belongs into the record of this server. */
export function bootstrapPaths(serverDir: string, hasSecretsEncryption: boolean): ReadonlyMap<string, string> {
  const files = hasSecretsEncryption ? { ...FILES, ...ENCRYPTION_FILES } : FILES;
  return new Map(Object.entries(files).map(([member, path]) => [member, join(serverDir, path)]));
}

/** The text of a record: one JSON object and a line feed. */
export function formatContent(content: BootstrapContent): string {
  const members = [...content].map(([member, { content: bytes, timestamp }]): [string, object] => [
    member,
    { Timestamp: formatTimestamp(timestamp), Content: bytes.toString("base64") },
  ]);
  return `${JSON.stringify(Object.fromEntries(members))}\n`;
}

/** Reads the text of a record, of old releases too (member → plain base64). Throws BootstrapError. */
export function parseContent(text: string): BootstrapContent {
  let members: unknown;
  try {
    members = JSON.parse(text);
  } catch {
    throw BootstrapError.malformed("the content is no JSON");
  }
  if (typeof members !== "object" || members === null) throw BootstrapError.malformed("the content is no JSON object");
  return new Map(Object.entries(members).map(([member, value]) => [member, parseFile(member, value)]));
}

function parseFile(member: string, value: unknown): StoredFile {
  if (typeof value === "string") return { content: Buffer.from(value, "base64"), timestamp: 0n };
  if (typeof value !== "object" || value === null) throw BootstrapError.malformed(`member "${member}" is no file`);
  const { Timestamp: time, Content: content }: { Timestamp?: unknown; Content?: unknown } = value;
  const timestamp = typeof time === "string" ? parseTimestamp(time) : undefined;
  // Go writes the bytes of an empty file as "" or null.
  if (timestamp === undefined || (typeof content !== "string" && content !== null)) {
    throw BootstrapError.malformed(`member "${member}" has no usable time or content`);
  }
  return { content: Buffer.from(content ?? "", "base64"), timestamp };
}

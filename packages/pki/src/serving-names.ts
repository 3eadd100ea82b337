import { createHash } from "node:crypto";
import { canonicalIp } from "./ip-address.ts";

/** Prefix of the annotations that list the names of a serving certificate, one each (dynamiclistener). */
export const NAME_PREFIX = "listener.cattle.io/cn-";

const KEY_LIMIT = 64;
const CUT_AT = 56;
const ALLOWED = /^(\*\.)?([A-Za-z0-9:][-A-Za-z0-9_.:]*)?[A-Za-z0-9:]$/;

/** The annotation key of a name; what Kubernetes does not allow in a key is replaced and made unique by a digest. */
export function annotationKey(name: string): string {
  const key = NAME_PREFIX + name;
  if (key.length < KEY_LIMIT && !/[:*]/.test(key)) return key;
  const digest = createHash("sha256").update(key).digest("hex").slice(0, 6);
  return `${key.replace(/[:*]/g, "_").slice(0, CUT_AT)}-${digest}`;
}

/** Whether a certificate may carry this name. Wildcards are for operators, not for clients. */
export function isAllowedName(name: string, source: "configuration" | "connection"): boolean {
  return ALLOWED.test(name) && (source === "configuration" || !name.startsWith("*"));
}

/** One spelling per name: addresses in their usual form, host names in lower case. */
export function normalizeName(name: string): string {
  return canonicalIp(name) ?? name.toLowerCase();
}

/** Whether `names` hold `wanted`, or a wildcard that stands for it: one label, as clients match it. */
export function includesName(names: readonly string[], wanted: string): boolean {
  if (names.includes(wanted)) return true;
  const [, parent] = /^[^.]+(\..+)$/.exec(wanted) ?? [];
  return parent !== undefined && canonicalIp(wanted) === undefined && names.includes(`*${parent}`);
}

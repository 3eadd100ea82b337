import { X509Certificate } from "node:crypto";

const DAY_MS = 86_400_000;
/** So long before its end there is time to renew it without haste. */
const NOTICE_DAYS = 30;

/**
 * What clients will have against the time of a certificate, or soon; undefined: nothing. Of a chain the first one counts, which is the
 * server's. `name`: how the file is called. Never throws: a certificate that cannot be read is no matter of its time.
 */
export function certificateWarning(name: string, pem: string | Buffer, now: Date): string | undefined {
  const term = readTerm(pem);
  if (term === undefined) return undefined;
  const { validFromDate: begin, validToDate: end } = term;
  const cure = "renew it and start the server again";
  if (now < begin)
    return `${name} is not valid before ${format(begin)}: clients refuse it until then; set the clock if that is wrong, or ${cure}`;
  if (now > end) return `${name} has expired on ${format(end)}: clients refuse it; ${cure}`;
  if (end.getTime() - now.getTime() > NOTICE_DAYS * DAY_MS) return undefined;
  return `${name} ends on ${format(end)}: clients refuse it from then on; ${cure}`;
}

function readTerm(pem: string | Buffer): Pick<X509Certificate, "validFromDate" | "validToDate"> | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

/** X.509 has whole seconds. */
function format(date: Date): string {
  return date.toISOString().replace(".000Z", "Z");
}

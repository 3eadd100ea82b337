import { HeaderField } from "./header-field.ts";

/** RFC 7541 appendix A, in order from index 1: `name` or `name=value`. */
const ENTRIES = `
:authority
:method=GET
:method=POST
:path=/
:path=/index.html
:scheme=http
:scheme=https
:status=200
:status=204
:status=206
:status=304
:status=400
:status=404
:status=500
accept-charset
accept-encoding=gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate`;

export const STATIC_TABLE: readonly HeaderField[] = ENTRIES.trim()
  .split("\n")
  .map((line) => {
    const [name = "", value = ""] = line.split("=");
    return new HeaderField(name, value);
  });

/** Smallest index by name, and by `name` NUL `value`. */
export const STATIC_INDEX: ReadonlyMap<string, number> = new Map(
  STATIC_TABLE.flatMap(({ name, value }, i): [string, number][] => [
    [name, i + 1],
    [`${name}\0${value}`, i + 1],
  ]).toReversed(),
);

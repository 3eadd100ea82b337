/** What RFC 7541 section 4.1 adds to the lengths of name and value. */
const OVERHEAD_BYTES = 32;

/** One header field. Each character of name and value is one byte. */
export class HeaderField {
  readonly name: string;
  readonly value: string;
  /** Size in the sense of RFC 7541 section 4.1. */
  readonly size: number;
  /** The field breaks RFC 9113 section 8.2: found out once, when it is made, however often it is referred to. */
  readonly isMalformed: boolean;

  constructor(name: string, value: string) {
    this.name = name;
    this.value = value;
    this.size = name.length + value.length + OVERHEAD_BYTES;
    this.isMalformed = !isName(name) || !isValue(value) || (name === "te" && value !== "trailers");
  }
}

const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);
const COLON = 0x3a;
const SPACE = 0x20;
const TAB = 0x09;
const DELETE = 0x7f;
const UPPER_A = 0x41;
const UPPER_Z = 0x5a;

function isName(name: string): boolean {
  if (name === "" || CONNECTION_SPECIFIC.has(name)) return false;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    const isUpper = code >= UPPER_A && code <= UPPER_Z;
    if (code <= SPACE || code >= DELETE || isUpper || (code === COLON && i > 0)) return false;
  }
  return true;
}

function isValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code === 0 || code === 0x0a || code === 0x0d) return false;
  }
  return value === "" || !(isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(value.length - 1)));
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

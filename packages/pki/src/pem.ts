/** One PEM block: its label and the bytes inside. */
interface PemBlock {
  readonly label: string;
  readonly der: Buffer;
  /** From BEGIN to END, without the line feed after it. */
  readonly text: string;
}

/** All PEM blocks of a text, in order; whatever stands between them is ignored. */
export function pemBlocks(text: string): PemBlock[] {
  const pattern = /-----BEGIN ([A-Z0-9 ]+)-----\r?\n([A-Za-z0-9+/=\s]*)-----END \1-----/g;
  return [...text.matchAll(pattern)].map(([block, label = "", body = ""]) => ({
    label,
    der: Buffer.from(body, "base64"),
    text: block,
  }));
}

/** PEM with lines of 64 characters and a line feed at the end, as Go writes it. */
export function formatPem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}

const PLAIN = /^[\w/.:@#%&+=,;!?*()[\]{}<>|~^$ -]*$/;

/** A text as SQL. Only what no setting of the server reads in another way is written out. */
export function textLiteral(text: string): string {
  return PLAIN.test(text) ? `'${text}'` : `CONVERT(X'${Buffer.from(text, "utf8").toString("hex")}' USING utf8mb4)`;
}

/** Bytes as SQL; undefined is NULL. */
export function bytesLiteral(bytes: Buffer | undefined): string {
  return bytes === undefined ? "NULL" : `X'${bytes.toString("hex")}'`;
}

/** A name of a database or table as SQL. */
export function identifier(name: string): string {
  return `\`${name.replaceAll("`", "``")}\``;
}

/** Puts statements into packets, each as full as it may be. A statement that is larger than that gets a packet of its own. */
export function packetsOf(statements: readonly string[], maxChars: number): string[][] {
  const packets: string[][] = [];
  let chars = Number.POSITIVE_INFINITY;
  for (const statement of statements) {
    chars += statement.length + 1;
    if (chars > maxChars) {
      packets.push([]);
      chars = statement.length;
    }
    packets.at(-1)?.push(statement);
  }
  return packets;
}

/** Rows of a CSV text (RFC 4180, as Go's encoding/csv reads it): quoted fields may hold commas, quotes and line feeds. */
export function parseCsv(text: string): string[][] {
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/y;
  const rows: string[][] = [];
  let row: string[] = [];
  while (field.lastIndex < text.length || row.length > 0) {
    const match = field.exec(text);
    if (match === null) throw new SyntaxError(`Cannot parse CSV: stray quote in row ${rows.length + 1}`);
    const [, quoted, plain = "", end] = match;
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === ",") continue;
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
  }
  return rows;
}

/** The rows as CSV, one per line. */
export function formatCsv(rows: readonly (readonly string[])[]): string {
  return rows.map((row) => `${row.map(formatField).join(",")}\n`).join("");
}

function formatField(value: string): string {
  const needsQuotes = /[",\r\n]/.test(value) || /^\s/.test(value) || value === "\\.";
  return needsQuotes ? `"${value.replaceAll('"', '""')}"` : value;
}

import { escapeName } from "@k3s/datastore";

/** What the column `name` of a table can hold. */
export interface NameColumn {
  readonly charset: string;
  /** Names that differ in letter case, or in more, are the same to the unique index. */
  readonly isLoose: boolean;
  readonly maxBytes: number;
}

const ASCII = /^[\x01-\x7f]*$/;

/**
 * The text that stands for a name in the column: itself, or its escaped form where the column would change it, or where MySQL's
 * comparison, which pads with spaces, would take it for another one.
 */
export function columnName(name: string, { charset }: NameColumn): string {
  const isKept = charset === "utf8mb4" || ASCII.test(name);
  return isKept && !name.endsWith(" ") ? name : escapeName(name);
}

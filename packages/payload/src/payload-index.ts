/** One file of a block; its content follows that of the one before. */
export interface IndexMember {
  readonly name: string;
  readonly size: number;
}

/** Files that were compressed together: one zstd frame of the executable. */
export interface IndexBlock {
  /** From the begin of the executable. */
  readonly offset: number;
  readonly length: number;
  readonly members: readonly IndexMember[];
}

/** What stands between the blocks and the footer, as JSON in a zstd frame. */
export interface PayloadIndex {
  readonly blocks: readonly IndexBlock[];
  /** Whatever the builder wants its reader to know at once. */
  readonly info: Readonly<Record<string, unknown>>;
}

/** Whether JSON of a build is an index. */
export function isPayloadIndex(value: unknown): value is PayloadIndex {
  return isRecord(value) && isRecord(value["info"]) && Array.isArray(value["blocks"]) && value["blocks"].every(isBlock);
}

function isBlock(value: unknown): boolean {
  return (
    isRecord(value) &&
    typeof value["offset"] === "number" &&
    typeof value["length"] === "number" &&
    Array.isArray(value["members"]) &&
    value["members"].every(
      (member) => isRecord(member) && typeof member["name"] === "string" && typeof member["size"] === "number",
    )
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

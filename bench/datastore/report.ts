import { median } from "../median.ts";

/** All values of a place in the tables, one of each round. */
type Rows = Map<string, Map<string, number[]>>;

/** Column of what kine needs at least on SQLite, as durable as ours. */
export const KINE_BOUND = "kine's SQL, FULL";
/** Columns that others are put in relation to: all of ours to etcd, and the one on kine's database to kine's bound. */
const PEERS: readonly { readonly peer: string; readonly isCompared: (column: string) => boolean }[] = [
  { peer: "etcd", isCompared: (column) => column !== "etcd" && !column.startsWith("kine") },
  { peer: KINE_BOUND, isCompared: (column) => column === "sqlite" },
];

/** Figures by table, row and column; what is shown is the median over the rounds. */
export class Report {
  readonly #tables = new Map<string, Rows>();
  readonly #failures: string[] = [];

  /** Undefined values are left out. */
  note(place: { readonly table: string; readonly row: string; readonly column: string }, value?: number): void {
    if (value === undefined || Number.isNaN(value)) return;
    const rows = entry(this.#tables, place.table, () => new Map<string, Map<string, number[]>>());
    const cells = entry(rows, place.row, () => new Map<string, number[]>());
    entry(cells, place.column, () => []).push(value);
  }

  /** What could not be measured. */
  fail(what: string, error: unknown): void {
    const [reason = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    this.#failures.push(`${what}: ${reason}`);
  }

  /** undefined: not measured. */
  median(table: string, row: string, column: string): number | undefined {
    const values = this.#tables.get(table)?.get(row)?.get(column);
    return values === undefined ? undefined : median(values);
  }

  /** Largest median of the rows that `isWanted` of the column, in all tables; undefined: none measured. */
  largest(column: string, isWanted: (row: string) => boolean): number | undefined {
    const tables = [...this.#tables].flatMap(([table, rows]) => [...rows.keys()].map((row) => ({ table, row })));
    const values = tables
      .filter(({ row }) => isWanted(row))
      .flatMap(({ table, row }) => this.median(table, row, column) ?? []);
    return values.length === 0 ? undefined : Math.max(...values);
  }

  /** The tables, and what failed, as Markdown. */
  text(): string {
    const tables = [...this.#tables.keys()].map((name) => this.#table(name));
    if (this.#failures.length > 0)
      tables.push(["Not measured:", ...this.#failures.map((one) => `- ${one}`)].join("\n"));
    return tables.join("\n\n");
  }

  #table(name: string): string {
    const rows = this.#tables.get(name) ?? new Map<string, Map<string, number[]>>();
    const columns = [...new Set([...rows.values()].flatMap((cells) => [...cells.keys()]))];
    const pairs = PEERS.filter(({ peer }) => columns.includes(peer)).flatMap(({ peer, isCompared }) =>
      columns.filter(isCompared).map((column) => ({ column, peer })),
    );
    const head = [name, ...columns, ...pairs.map(({ column, peer }) => `${column} : ${peer}`)];
    const body = [...rows.keys()].map((row) => {
      const value = (column: string) => this.median(name, row, column);
      const ratios = pairs.map(({ column, peer }) => formatRatio(value(column), value(peer)));
      return [row, ...columns.map((column) => formatNumber(value(column))), ...ratios];
    });
    return markdown([head, ...body]);
  }
}

function entry<T>(map: Map<string, T>, key: string, make: () => T): T {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}

/** A Markdown table whose first row is its head. */
export function markdown(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows;
  const widths = head.map((_, i) => Math.max(...rows.map((row) => (row[i] ?? "").length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(" | ")} |`;
  return [line(head), `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...body.map(line)].join("\n");
}

/** Three digits, or all of a whole number. */
export function formatNumber(value: number | undefined): string {
  if (value === undefined) return "–";
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
  return value.toFixed(digits);
}

function formatRatio(value: number | undefined, peer: number | undefined): string {
  return value === undefined || peer === undefined || peer === 0 ? "–" : (value / peer).toFixed(2);
}

import type { ChangedRow, Changes, RowHead } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import type { Dialect, RowPage, SqlSession } from "./dialect.ts";
import { HoleSettler } from "./hole-settler.ts";

/** Rows read at once of a span beyond its page. */
const REST_ROWS = 1000;

type Read<Session> = <T>(what: string, task: (session: Session) => Promise<T>) => Promise<T>;

interface SettledReaderParts<Session extends SqlSession> {
  readonly dialect: Dialect<Session>;
  readonly read: Read<Session>;
  /** Whether a claim keeps everybody back: nothing is on its way then, and `read` goes through the claim. */
  readonly isAlone: () => boolean;
  readonly log: Logger;
}

/** Reads the table in the order of ids, and shows no row before all ids in front of it are settled. */
export class SettledReader<Session extends SqlSession> {
  readonly #parts: SettledReaderParts<Session>;
  readonly #settler: HoleSettler<Session>;

  constructor(parts: SettledReaderParts<Session>) {
    this.#parts = parts;
    this.#settler = new HoleSettler(parts);
  }

  heads(page: RowPage): Promise<readonly RowHead[]> {
    const { dialect, read } = this.#parts;
    return this.#settled(page, () => read("Reading rows", (session) => dialect.heads(session, page)));
  }

  async changes(page: RowPage): Promise<Changes> {
    const { dialect, read } = this.#parts;
    const readRows = () => read("Reading changes", (session) => dialect.rows(session, page));
    const rows = await this.#settled(page, readRows);
    const upTo = rows.at(-1)?.id;
    if (upTo === undefined) return { rows: [], spans: [] };
    // After the rows: a row that is visible has its span visible too, they are one transaction.
    const range = { after: page.after, upTo };
    const spans = await read("Reading changes", (session) => dialect.spans(session, range));
    const end = spans.at(-1)?.last ?? 0;
    return { rows: end > upTo ? [...rows, ...(await this.#rest(upTo, end))] : rows, spans };
  }

  /** The rows of a span that the page cut, in pages as well: it may be of any size. */
  async #rest(upTo: number, end: number): Promise<readonly ChangedRow[]> {
    const { dialect, read } = this.#parts;
    const rest: ChangedRow[] = [];
    for (let after = upTo; after < end;) {
      const page = { after, limit: Math.min(end - after, REST_ROWS) };
      const rows = await read("Reading changes", (session) => dialect.rows(session, page));
      for (const row of rows) if (row.id <= end) rest.push(row);
      after = rows.at(-1)?.id ?? end;
    }
    return rest;
  }

  async #settled<Row extends { readonly id: number }>(
    { after, limit }: RowPage,
    readRows: () => Promise<readonly Row[]>,
  ): Promise<readonly Row[]> {
    const rows = await readRows();
    const ids = rows.map(({ id }) => id);
    if (!(await this.#settler.settle(after, ids))) return rows;
    // What is behind these ids was not looked at: others may have come meanwhile, with holes of their own.
    const last = ids.at(-1) ?? after;
    return (await readRows()).filter(({ id }) => id <= last).slice(0, limit);
  }
}

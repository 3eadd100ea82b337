import type { SqlRow, SqlSession, SqlValue } from "./databases-sql.ts";

/** A row as kine's watches tell it. */
export interface KineEvent {
  readonly revision: number;
  readonly name: string;
  readonly kind: "create" | "update" | "delete";
  readonly value: string;
  readonly prevValue: string;
  /** Of the version before; 0 for creations. */
  readonly prevRevision: number;
  readonly lease: number;
}

/** A live key as kine answers it. */
export interface KineKey {
  readonly revision: number;
  readonly createRevision: number;
  readonly name: string;
  readonly value: string;
}

/** Outcome of a guarded write: the new revision, or undefined for a conflict. */
type Written = number | undefined;

const PRIMARY_KEY_ATTEMPTS = 20;
const NO_ROW = { id: 0, isLive: false, createRevision: 0 } as const;
const COLUMNS = "kv.id, kv.name, kv.created, kv.deleted, kv.create_revision, kv.prev_revision, kv.lease";

/** Issues the statements that kine is documented to issue on its table, one operation after the other on one session. */
export class KinePeer {
  readonly #session: SqlSession;

  constructor(session: SqlSession) {
    this.#session = session;
  }

  /** What kine makes sure of at its start: indexes, one compaction marker, the health key. */
  async start(): Promise<void> {
    for (const [name, columns] of INDEXES) await this.#ensureIndex(`INDEX ${name} ON kine (${columns})`, name);
    await this.#ensureIndex("UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision)", UNIQUE);
    const markers = await this.#session.query(
      "SELECT id, prev_revision FROM kine WHERE name = 'compact_rev_key' ORDER BY prev_revision DESC",
    );
    if (markers.length === 0) await this.#insert({ name: "compact_rev_key", created: 1, value: "" });
    for (const [id] of markers.slice(1)) await this.#session.query("DELETE FROM kine WHERE id = ?", Number(id));
    await this.create("/registry/health", '{"health":"true"}');
  }

  /** Undefined: the key exists. */
  async create(name: string, value: string, lease = 0): Promise<Written> {
    const { id, isLive } = await this.#newest(name);
    return isLive ? undefined : await this.#insert({ name, created: 1, prev: id, value, lease });
  }

  /** `revision` is the one that the caller has read. */
  async update({ name, value, revision, lease = 0 }: KineUpdate): Promise<Written> {
    const { id, isLive, createRevision } = await this.#newest(name);
    if (!isLive || id !== revision) return undefined;
    return await this.#insert({ name, created: 0, create: createRevision, prev: id, value, lease });
  }

  async delete(name: string, revision: number): Promise<Written> {
    const { id, isLive } = await this.#newest(name);
    if (!isLive || id !== revision) return undefined;
    return await this.#insert({ name, created: 0, deleted: 1, prev: id, value: null });
  }

  /** Live keys from `start` up to `end`, as of a revision; 0: now. */
  async list(start: string, end: string, revision = 0): Promise<KineKey[]> {
    const rows = await this.#session.query(
      `SELECT ${COLUMNS}, kv.value FROM kine kv JOIN (${newestOfEach(revision)}) maxkv ON maxkv.id = kv.id
       WHERE kv.deleted = 0 ORDER BY kv.name ASC, kv.id ASC`,
      ...[start, end, ...(revision === 0 ? [] : [revision])],
    );
    return rows.map((row) => {
      const [id, name, created, , createRevision] = row;
      const create = Number(created) === 0 ? Number(createRevision) : Number(id);
      return { revision: Number(id), createRevision: create, name: String(name), value: text(row[7]) };
    });
  }

  /** Number of live keys, by kine's second statement for a page. */
  async count(start: string, end: string): Promise<number> {
    const [row] = await this.#session.query(
      `SELECT COUNT(c.id) FROM (SELECT kv.id FROM kine kv JOIN (${newestOfEach(0)}) maxkv ON maxkv.id = kv.id
       WHERE kv.deleted = 0) c`,
      ...[start, end],
    );
    return Number(row?.[0]);
  }

  /** What a watch on everything that starts behind `revision` is told at once; gap rows are hidden. */
  async after(revision: number): Promise<KineEvent[]> {
    const rows = await this.#session.query(
      `SELECT ${COLUMNS}, kv.value, kv.old_value FROM kine kv WHERE kv.id > ? ORDER BY kv.id ASC`,
      revision,
    );
    return rows.filter(([, name]) => !isOfKine(String(name))).map(toEvent);
  }

  /** Next rows of the poll loop: consecutive ids behind `revision`, gap rows included. A hole at the front is `hole`. */
  async poll(revision: number): Promise<{ readonly rows: readonly SqlRow[]; readonly hole: boolean }> {
    const found = await this.#session.query(
      `SELECT ${COLUMNS}, kv.value, kv.old_value FROM kine kv WHERE kv.id > ? ORDER BY kv.id ASC LIMIT 500`,
      revision,
    );
    const rows = found.filter(([id], i) => Number(id) === revision + 1 + i);
    return { rows, hole: rows.length === 0 && found.length > 0 };
  }

  /** Fills a hole as the poll loop does the second time it sees it; false when somebody was faster. */
  async fillGap(id: number): Promise<boolean> {
    const values = [id, `gap-${id}`];
    const columns = "id, name, created, deleted, create_revision, prev_revision, lease, value, old_value";
    const insert = `INSERT INTO kine (${columns}) VALUES (?, ?, 0, 1, 0, 0, 0, NULL, NULL)`;
    return await this.#session.query(insert, ...values).then(
      () => true,
      (error: unknown) => {
        if (this.#session.violated(error) === undefined) throw error;
        return false;
      },
    );
  }

  /** Newest revision, and the one that is compacted. */
  async revisions(): Promise<{ readonly current: number; readonly compacted: number }> {
    const [row] = await this.#session.query(
      "SELECT MAX(id), (SELECT MAX(prev_revision) FROM kine WHERE name = 'compact_rev_key') FROM kine",
    );
    return { current: Number(row?.[0]), compacted: Number(row?.[1]) };
  }

  /** One step of kine's compaction: rows that were replaced up to `revision`, tombstones, then the marker. */
  async compact(revision: number): Promise<void> {
    const doomed = `SELECT kp.prev_revision AS id FROM kine kp
        WHERE kp.name != 'compact_rev_key' AND kp.prev_revision != 0 AND kp.id <= ?
      UNION SELECT kd.id AS id FROM kine kd WHERE kd.deleted != 0 AND kd.id <= ?`;
    const statement = {
      sqlite: `DELETE FROM kine AS kv WHERE kv.id IN (SELECT id FROM (${doomed}))`,
      mysql: `DELETE kv FROM kine kv INNER JOIN (${doomed}) ks ON kv.id = ks.id`,
      postgres: `DELETE FROM kine kv USING (${doomed}) ks WHERE kv.id = ks.id`,
    }[this.#session.dialect];
    await this.#session.query(statement, revision, revision);
    await this.#session.query("UPDATE kine SET prev_revision = ? WHERE name = 'compact_rev_key'", revision);
  }

  async #newest(
    name: string,
  ): Promise<{ readonly id: number; readonly isLive: boolean; readonly createRevision: number }> {
    const [row] = await this.#session.query(
      `SELECT ${COLUMNS} FROM kine kv WHERE kv.name = ? ORDER BY kv.id DESC LIMIT 1`,
      name,
    );
    if (row === undefined) return NO_ROW;
    const [id, , created, deleted, createRevision] = row.map(Number);
    return { id: id ?? 0, isLive: deleted === 0, createRevision: (created === 0 ? createRevision : id) ?? 0 };
  }

  async #insert(row: NewRow): Promise<Written> {
    const { name, created, deleted = 0, create = 0, prev = 0, value, lease = 0 } = row;
    const old = "SELECT value FROM (SELECT * FROM kine WHERE id = ?) o"; // MySQL reads no table that it writes to
    const columns = "name, created, deleted, create_revision, prev_revision, lease, value, old_value";
    const insert = `INSERT INTO kine (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, (${old}))`;
    const bytes = value === null ? null : Buffer.from(value);
    const values: SqlValue[] = [name, created, deleted, create, prev, lease, bytes, prev];
    for (let attempt = 0; attempt < PRIMARY_KEY_ATTEMPTS; attempt++) {
      try {
        return await this.#session.insert(insert, ...values);
      } catch (error) {
        const violated = this.#session.violated(error);
        if (violated === undefined) throw error;
        if (violated === "name") return undefined;
      }
    }
    throw new Error(`Cannot insert ${name}: its id was taken ${PRIMARY_KEY_ATTEMPTS} times`);
  }

  async #ensureIndex(definition: string, name: string): Promise<void> {
    if (this.#session.dialect !== "mysql") {
      await this.#session.query(`CREATE ${definition.replace("INDEX ", "INDEX IF NOT EXISTS ")}`);
      return;
    }
    // kine makes MySQL's indexes only together with the table
    const found = await this.#session.query("SHOW INDEX FROM kine WHERE Key_name = ?", name);
    if (found.length === 0 && name === UNIQUE) throw new Error(`Cannot use the table: ${name} is missing`);
  }
}

interface KineUpdate {
  readonly name: string;
  readonly value: string;
  readonly revision: number;
  readonly lease?: number;
}

interface NewRow {
  readonly name: string;
  readonly created: 0 | 1;
  readonly deleted?: 0 | 1;
  readonly create?: number;
  readonly prev?: number;
  readonly value: string | null;
  readonly lease?: number;
}

const UNIQUE = "kine_name_prev_revision_uindex";
const INDEXES = [
  ["kine_name_index", "name"],
  ["kine_name_id_index", "name, id"],
  ["kine_id_deleted_index", "id, deleted"],
  ["kine_prev_revision_index", "prev_revision"],
] as const;

function newestOfEach(revision: number): string {
  const upTo = revision === 0 ? "" : "AND mkv.id <= ?";
  return `SELECT MAX(mkv.id) AS id FROM kine mkv WHERE mkv.name >= ? AND mkv.name < ? ${upTo} GROUP BY mkv.name`;
}

/** Rows that no watch of kine tells. */
function isOfKine(name: string): boolean {
  return name.startsWith("gap-") || name === "compact_rev_key";
}

/** A row of {@link KinePeer.after} or {@link KinePeer.poll} as the watch tells it. */
export function toEvent(row: SqlRow): KineEvent {
  const [id, name, created, deleted, , prev, lease, value, old] = row;
  const kind = Number(created) !== 0 ? "create" : Number(deleted) !== 0 ? "delete" : "update";
  return {
    revision: Number(id),
    name: String(name),
    kind,
    value: text(value),
    prevValue: kind === "create" ? "" : text(old),
    prevRevision: kind === "create" ? 0 : Number(prev),
    lease: Number(lease),
  };
}

function text(value: SqlValue | undefined): string {
  return Buffer.isBuffer(value) ? value.toString() : value === null ? "" : String(value);
}

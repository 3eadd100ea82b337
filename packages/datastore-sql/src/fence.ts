import type { CommitBatch } from "@k3s/datastore";
import { failpoint } from "@k3s/failpoints";
import type { Dialect, SqlSession } from "./dialect.ts";
import type { Lane } from "./lane.ts";
import { limited } from "./limited.ts";

const SETTLE_LIMIT_MS = 7000;

interface FenceParts<Session extends SqlSession> {
  readonly dialect: Dialect<Session>;
  /** For the statements that end what is left. */
  readonly lane: Lane<Session>;
}

/**
 * Commits whose connection was lost on the way. A database that stood still carries them out when it goes on, although their client
 * was told that nobody knows: after that answer nothing is read or written before they are done or can never be.
 */
export class Fence<Session extends SqlSession> {
  readonly #parts: FenceParts<Session>;
  readonly #doubtful = new Map<Session, CommitBatch>();
  #settling: Promise<void> | undefined;

  constructor(parts: FenceParts<Session>) {
    this.#parts = parts;
  }

  /** The dialect's commit; its session is remembered in the moment in which it is lost. */
  async commit(session: Session, batch: CommitBatch): Promise<boolean> {
    const doubt = () => this.#doubtful.set(session, batch);
    session.lost.addEventListener("abort", doubt, { once: true });
    try {
      const answer = this.#parts.dialect.commit(session, batch);
      failpoint("sql.sent");
      const isDone = await answer;
      failpoint("sql.committed");
      return isDone;
    } finally {
      session.lost.removeEventListener("abort", doubt);
    }
  }

  /** Whether there is anything to {@link settle}. */
  get isDoubtful(): boolean {
    return this.#doubtful.size > 0;
  }

  /** Resolves once no lost commit can take effect any more. Rejects with the library's error while the database does not answer. */
  async settle(): Promise<void> {
    this.#settling ??= this.#settle().finally(() => {
      this.#settling = undefined;
    });
    await this.#settling;
  }

  async #settle(): Promise<void> {
    const { dialect, lane } = this.#parts;
    const limit = { what: "Ending a lost connection", ms: SETTLE_LIMIT_MS };
    for (const [lost, batch] of [...this.#doubtful]) {
      await lane.run((session) => limited(session, limit, async () => dialect.forget?.(session, lost, batch)));
      this.#doubtful.delete(lost);
    }
  }
}

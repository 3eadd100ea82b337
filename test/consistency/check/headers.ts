import type { Operation } from "../history/operation.ts";
import type { WatchSession } from "../history/watch-session.ts";
import type { Violation } from "./violation.ts";
import { describeOperation } from "./describe.ts";

interface Sighting {
  readonly revision: number;
  /** When the client asked, and when it knew. */
  readonly from: number;
  readonly to: number;
  readonly text: () => string;
}

/** Finds answers whose header revision is below one that was known before they were asked for. */
export function checkHeaders(operations: readonly Operation[], sessions: readonly WatchSession[]): Violation[] {
  const sightings = [...operations.flatMap(ofOperation), ...sessions.flatMap(ofSession)];
  const byEnd = sightings.toSorted((a, b) => a.to - b.to);
  const violations: Violation[] = [];
  let highest: Sighting | undefined;
  let next = 0;
  for (const sighting of sightings.toSorted((a, b) => a.from - b.from)) {
    for (let known = byEnd[next]; known !== undefined && known.to < sighting.from; known = byEnd[++next]) {
      if (highest === undefined || known.revision > highest.revision) highest = known;
    }
    if (highest === undefined || sighting.revision >= highest.revision) continue;
    const text = `header revision ${sighting.revision} after ${highest.revision} was known`;
    violations.push({ promise: "header", text, details: [highest.text(), sighting.text()] });
  }
  return violations;
}

function ofOperation(operation: Operation): Sighting[] {
  const { outcome, invokedAt: from, returnedAt: to } = operation;
  if (outcome.kind !== "ok") return [];
  return [{ revision: outcome.response.revision, from, to, text: () => describeOperation(operation) }];
}

/** What `created` says; later messages may be of any age. */
function ofSession({ watcher, request, requestedAt: from, messages }: WatchSession): Sighting[] {
  const [first] = messages;
  if (first === undefined || !first.created || first.canceled) return [];
  const text = () => `${watcher}: watch from ${request.startRevision} created at revision ${first.revision}`;
  return [{ revision: first.revision, from, to: first.at, text }];
}

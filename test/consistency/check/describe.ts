import type { Operation } from "../history/operation.ts";
import type { Expected } from "../model/expected.ts";
import type { Change } from "../model/state.ts";

const LINE_CHARS_MAX = 600;

/** One operation on one line. */
export function describeOperation({ id, client, request, outcome, invokedAt, returnedAt }: Operation): string {
  const answer = outcome.kind === "ok" ? compact(outcome.response) : `${outcome.kind}: ${outcome.text}`;
  const times = `${invokedAt.toFixed(1)}–${returnedAt.toFixed(1)} ms`;
  return `#${id} ${client} ${times} ${compact(request)} → ${answer}`.slice(0, LINE_CHARS_MAX);
}

/** What the model would have answered. */
export function describeExpected(expected: Expected): string {
  if (expected.kind === "refused") return `refused: ${[...expected.reasons].join(" or ")}`;
  if (expected.kind !== "range") return compact(expected).slice(0, LINE_CHARS_MAX);
  const { kvs, limit, more, count } = expected;
  return compact({ kvs: kvs.slice(0, limit), more, count }).slice(0, LINE_CHARS_MAX);
}

export function describeChange({ type, version }: Change): string {
  const { key, mod, create, value, lease } = version;
  return compact(
    type === "delete" ? { delete: key, mod } : { put: key, mod, create, version: version.version, value, lease },
  );
}

function compact(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => (inner === Number.POSITIVE_INFINITY ? "none" : inner));
}

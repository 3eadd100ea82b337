import type { History } from "../history/history.ts";
import type { Operation } from "../history/operation.ts";
import type { EndpointTraits } from "../history/endpoint-traits.ts";
import { capVersions } from "../model/cap-versions.ts";
import { Model } from "../model/model.ts";
import { initialState } from "../model/state.ts";
import { describeChange, describeExpected, describeOperation } from "./describe.ts";
import { Evidence } from "./evidence.ts";
import { checkHeaders } from "./headers.ts";
import { LeaseTerms } from "./leases.ts";
import { LinearizationSearch, type DeadEnd, type OptionalEffect, type SearchResult } from "./linearize.ts";
import { Timeline } from "./timeline.ts";
import type { Violation } from "./violation.ts";
import { WatchCheck, type Compaction } from "./watch.ts";

/** Enough for any history that can be explained; one that cannot seldom needs a hundredth of it. */
const STATES_MAX = 300_000;
const TRANSITIONS_SHOWN = 15;

/** Every promise of etcd that the history shows to be broken; none: it could have been etcd. */
export function checkHistory(recorded: History, traits: EndpointTraits): Violation[] {
  const history = traits.versions === "exact" ? recorded : capVersions(recorded);
  const { operations, sessions } = history;
  const terms = new LeaseTerms(operations);
  const violations = [
    ...(traits.servers === "one" ? checkHeaders(operations, sessions) : checkHeaders(operations.filter(isOfData), [])),
    ...terms.overdue(operations, history.leasePatienceMs),
  ];
  const search = (evidence: Evidence): SearchResult =>
    new LinearizationSearch({
      initial: initialState(history.initial),
      model: new Model(traits),
      operations: operations.filter(
        (operation) =>
          operation.outcome.kind !== "unknown" && !terms.isUncertain(operation) && !isOfLostHistory(operation, traits),
      ),
      optional: [
        ...unansweredWrites(operations),
        ...terms.expirations(),
        ...(traits.revisions === "with-holes" ? holes(history, evidence) : []),
      ],
      evidence,
      statesMax: STATES_MAX,
    }).run();

  const evidence = Evidence.of(operations, sessions, traits);
  let result = search(evidence);
  const agreed = result;
  // Where watches and answers contradict each other, the answers alone tell who is wrong.
  if (result.kind !== "linearizable") result = search(Evidence.of(operations, [], traits));
  if (result.kind !== "linearizable") {
    const violation = ofDeadEnd(result.kind, result.deadEnd);
    const more =
      agreed.kind === "linearizable" ? [] : ["together with what watches were told:", ...detailsOf(agreed.deadEnd)];
    return [...violations, { ...violation, details: [...violation.details, ...more] }];
  }
  const timeline = new Timeline(result.transitions);
  const compactions = operations.flatMap(toCompaction);
  for (const session of sessions) violations.push(...new WatchCheck(session, { compactions, traits }).run(timeline));
  if (agreed.kind !== "linearizable") violations.push(ofDisagreement(agreed.deadEnd, evidence.conflicts));
  return violations;
}

/** Every revision that nobody saw may be one at which nothing happened. */
function holes({ initial, operations }: History, evidence: Evidence): OptionalEffect[] {
  const told = operations.map(({ outcome }) => (outcome.kind === "ok" ? outcome.response.revision : 0));
  const unseen = evidence.unseen(initial.revision, Math.max(...told));
  return unseen.map((revision) => ({ request: { kind: "hole", revision }, invokedAt: 0 }));
}

/** Answers that every server gives at the newest revision of all; headers of other calls tell what it knows by itself. */
function isOfData({ request }: Operation): boolean {
  return ["range", "put", "delete", "txn"].includes(request.kind);
}

/** A refusal that a bounded history can give at any time. It changes nothing and says nothing. */
function isOfLostHistory({ outcome }: Operation, { history }: EndpointTraits): boolean {
  return history === "bounded" && outcome.kind === "refused" && outcome.reason === "compacted";
}

function unansweredWrites(operations: readonly Operation[]): OptionalEffect[] {
  const reads = ["range", "leaseKeepAlive", "leaseTimeToLive"];
  return operations.filter(({ outcome, request }) => outcome.kind === "unknown" && !reads.includes(request.kind));
}

function toCompaction({ request, outcome, invokedAt, returnedAt }: Operation): Compaction[] {
  if (request.kind !== "compact") return [];
  const doneAt = outcome.kind === "ok" ? returnedAt : Number.POSITIVE_INFINITY;
  return [{ revision: request.revision, invokedAt, doneAt }];
}

function ofDeadEnd(kind: "impossible" | "undecided", deadEnd: DeadEnd): Violation {
  const { explained, state } = deadEnd;
  if (kind === "undecided")
    return { promise: "undecided", text: `gave up after ${explained} operations`, details: detailsOf(deadEnd) };
  const text = `no order explains more than ${explained} operations, the last one leads to revision ${state.revision}`;
  return { promise: "linearizable", text, details: detailsOf(deadEnd) };
}

function ofDisagreement(deadEnd: DeadEnd, conflicts: readonly string[]): Violation {
  const text = `answers can be explained, but not together with what watches were told: ${conflicts.slice(0, 3).join("; ")}`;
  return { promise: "watch-agreement", text, details: detailsOf(deadEnd) };
}

function detailsOf({ transitions, stuck, state }: DeadEnd): string[] {
  const done = transitions.slice(-TRANSITIONS_SHOWN).map(({ state: after, changes, request }) => {
    const what = changes.length === 0 ? JSON.stringify(request) : changes.map(describeChange).join(" ");
    return `revision ${after.revision}: ${what}`;
  });
  const next = stuck.flatMap(({ operation, applied }) => [
    describeOperation(operation),
    `    the model at revision ${state.revision}: ${describeExpected(applied.expected)}, then revision ${applied.state.revision}`,
  ]);
  return [...done, "next would have to be one of:", ...next];
}

import { deadline, soonAfter } from "@k3s/async";
import type { Store } from "@k3s/datastore";
import { jsonAnswer, textAnswer, type HttpAnswer } from "./http-answer.ts";
import { toRpcError } from "./rpc-error.ts";

type Answer = (query: URLSearchParams) => Promise<HttpAnswer>;
/** Why it failed; undefined: it did not. */
type Check = (store: Store) => Promise<string | undefined>;

/** Any key: it is looked for, not read. */
const PROBE_KEY = Buffer.from("health");
/** etcd gives a request 5 s and twice the election timeout. */
const PROBE_MS = 7_000;

/** Those of `/readyz` that look for a damaged member, or for one that may not vote yet, find nothing: there are none here. */
const CHECKS: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  "/livez": { serializable_read: tryToReadHere },
  "/readyz": {
    data_corruption: findNothing,
    serializable_read: tryToReadHere,
    linearizable_read: tryToRead,
    non_learner: findNothing,
  },
};

/** The paths on which etcd says how it is. */
export function healthPaths(store: Store): ReadonlyMap<string, Answer> {
  const paths = new Map<string, Answer>([["/health", (query) => answerHealth(store, query)]]);
  for (const [path, checks] of Object.entries(CHECKS)) {
    paths.set(path, (query) => answerChecks(store, checks, query));
    for (const [name, check] of Object.entries(checks))
      paths.set(`${path}/${name}`, (query) => answerChecks(store, { [name]: check }, without(query, "exclude")));
  }
  return paths;
}

/** An alarm makes the server ill unless the question leaves it out; `serializable=true` asks for this server alone. */
async function answerHealth(store: Store, query: URLSearchParams): Promise<HttpAnswer> {
  const isFull = store.isFull && !query.getAll("exclude").includes("NOSPACE");
  if (isFull) return jsonAnswer(503, { health: "false", reason: "ALARM NOSPACE" });
  const failure = await (query.get("serializable") === "true" ? tryToReadHere : tryToRead)(store);
  if (failure !== undefined) return jsonAnswer(503, { health: "false", reason: `RANGE ERROR:${failure}` });
  return jsonAnswer(200, { health: "true", reason: "" });
}

async function answerChecks(
  store: Store,
  checks: Readonly<Record<string, Check>>,
  query: URLSearchParams,
): Promise<HttpAnswer> {
  const excluded = query.getAll("exclude");
  const asked = Object.entries(checks).filter(([name]) => !excluded.includes(name));
  const results = await Promise.all(asked.map(async ([name, check]) => [name, await check(store)] as const));
  const lines = results.map(([name, failure]) =>
    failure === undefined ? `[+]${name} ok\n` : `[-]${name} failed: ${failure}\n`,
  );
  if (results.some(([, failure]) => failure !== undefined)) return textAnswer(503, `${lines.join("")}\n`);
  return textAnswer(200, `${query.has("verbose") ? lines.join("") : ""}ok\n`);
}

function without(query: URLSearchParams, name: string): URLSearchParams {
  const rest = new URLSearchParams(query);
  rest.delete(name);
  return rest;
}

function findNothing(): Promise<undefined> {
  return Promise.resolve(undefined);
}

function tryToRead(store: Store): Promise<string | undefined> {
  return read(store, false);
}

/** From memory: nothing that a restart of this server could mend is wrong while its database is away. */
function tryToReadHere(store: Store): Promise<string | undefined> {
  return read(store, true);
}

async function read(store: Store, serializable: boolean): Promise<string | undefined> {
  using limit = deadline(PROBE_MS, "Reading from the store");
  const query = { key: PROBE_KEY, rangeEnd: Buffer.alloc(0), limit: 1, revision: 0, keysOnly: true, countOnly: false };
  const bounds = { minModRevision: 0, maxModRevision: 0, minCreateRevision: 0, maxCreateRevision: 0 };
  const late = () => new Error("Cannot read from the store: it does not answer");
  return await soonAfter(store.range({ ...query, ...bounds, serializable }), { signal: limit, ms: 0, late }).then(
    () => undefined,
    (error: unknown) => toRpcError(error)?.message ?? "etcdserver: request timed out",
  );
}

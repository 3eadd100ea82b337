// The statements of kine's SQLite dialect, as its documentation of table and queries describes them, on a table of the same form.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answerQuestions } from "./datastore/answer-questions.ts";
import { KineTable } from "./datastore/kine-table.ts";
import { percentiles, type Figures } from "./datastore/load.ts";
import type { KineFigures, KineRun } from "./datastore/parts/kine.ts";

const PAGE = 500;
const { keys, synchronous } = JSON.parse(process.argv[2] ?? "{}") as KineRun;
const folder = await mkdtemp(join(tmpdir(), "bench-kine-"));
const table = new KineTable(join(folder, "state.db"), synchronous);
answerQuestions("ready", measure, async () => {
  table.close();
  await rm(folder, { recursive: true, force: true });
});

function measure(): Promise<KineFigures> {
  table.fill(keys, keyName);
  return Promise.resolve({
    create: time(1000, (n) => table.create(keyName(keys + n))),
    update: time(1000, (n) => table.update(keyName((n * 7919) % keys))),
    get: time(5000, (n) => table.get(keyName((n * 7919) % keys))),
    page: time(20, (n) => table.page(keyName((n * 7919) % Math.max(1, keys - PAGE)), PAGE)),
    count: time(20, () => table.count("/registry/pods/")),
  });
}

function time(calls: number, call: (n: number) => void): Figures {
  const durations = new Float64Array(calls);
  const startedAt = performance.now();
  for (let n = 0; n < calls; n++) {
    const callStartedAt = performance.now();
    call(n);
    durations[n] = performance.now() - callStartedAt;
  }
  return { perSecond: calls / ((performance.now() - startedAt) / 1000), ...percentiles(durations) };
}

function keyName(n: number): string {
  return `/registry/pods/namespace-${n % 100}/pod-${String(n).padStart(8, "0")}`;
}

/**
 * The datastore beside etcd on the same machine, one after the other, with the same requests.
 *
 *   node bench/datastore.ts [--targets sqlite,etcd] [--keys 100000] [--rounds 3]
 */
import { parseArgs } from "node:util";
import { median } from "./median.ts";
import type { Figures } from "./datastore/load.ts";
import { pssMiB, startTarget, type TargetName } from "./datastore/target.ts";
import { Subject } from "./datastore/workloads.ts";

const { values } = parseArgs({
  options: {
    targets: { type: "string", default: "sqlite,etcd" },
    keys: { type: "string", default: "100000" },
    rounds: { type: "string", default: "3" },
  },
});
const keys = Number(values.keys);
/** Figures by row of the table. */
type Results = Map<string, number>;

const names = values.targets.split(",") as TargetName[];
const all = new Map<TargetName, Results[]>(names.map((name) => [name, []]));
for (let round = 1; round <= Number(values.rounds); round++)
  for (const name of names) all.get(name)?.push(await measure(name));
print();

async function measure(name: TargetName): Promise<Results> {
  const results: Results = new Map();
  const note = (label: string, figures: Figures, isRate: boolean) => {
    if (isRate) results.set(`${label}, per s`, figures.perSecond);
    results.set(`${label}, p50 ms`, figures.p50Ms);
    results.set(`${label}, p99 ms`, figures.p99Ms);
  };
  let target = await startTarget(name);
  try {
    let subject = await Subject.connect(target.endpoint);
    note("create, 1 in flight", await subject.create(1, Math.min(2000, keys / 10)), true);
    note("create, 64 in flight", await subject.create(64, Math.max(64, keys - subject.keys)), true);
    note("update, 1 in flight", await subject.update(1, 2000), true);
    note("update, 64 in flight", await subject.update(64, 20_000), true);
    note("update, 256 in flight", await subject.update(256, 20_000), true);
    note("get, 1 in flight", await subject.get(1, 10_000), true);
    note("get, 64 in flight", await subject.get(64, 50_000), true);
    note("page of 500", await subject.page(300), false);
    note("count", await subject.count(300), false);
    note("answer to event", await subject.watchLag(1000), false);
    note("progress", await subject.progress(1000), false);
    const stall = await subject.compactUnderWrites(2000);
    results.set("worst write while compacting, ms", stall.maxMs);
    results.set("memory, PSS MiB", await pssMiB(target.pid));
    results.set("disk, MiB", (await target.diskBytes()) / 2 ** 20);
    subject.close();
    const startedAt = performance.now();
    target = await target.restart();
    subject = await Subject.connect(target.endpoint);
    await subject.count(1);
    results.set("restart to first answer, ms", performance.now() - startedAt);
    subject.close();
    return results;
  } finally {
    await target[Symbol.asyncDispose]();
  }
}

function print(): void {
  const [first] = [...all.values()];
  const labels = [...(first?.[0]?.keys() ?? [])];
  const row = (cells: readonly string[]) =>
    console.log(cells.map((cell, i) => (i === 0 ? cell.padEnd(36) : cell.padStart(12))).join(" "));
  row([
    `${keys} keys, medians of ${values.rounds}`,
    ...names,
    ...(names.length > 1 ? names.slice(0, -1).map((name) => `${name}:last`) : []),
  ]);
  for (const label of labels) {
    const medians = names.map((name) =>
      median((all.get(name) ?? []).map((results) => results.get(label) ?? Number.NaN)),
    );
    const last = medians.at(-1) ?? Number.NaN;
    const ratios = medians.slice(0, -1).map((value) => (value / last).toFixed(2));
    row([label, ...medians.map((value) => value.toFixed(value < 10 ? 3 : 0)), ...ratios]);
  }
}

import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { nextTurn } from "@k3s/async";
import { Counter, exponentialBuckets, Gauge, Histogram, MetricsRegistry, processMetrics } from "../src/index.ts";

describe("Counter", () => {
  test("adds up per combination of labels", () => {
    const counter = new Counter({ name: "a_total", help: "A", labels: ["x", "y"] });
    counter.increment({ x: "1", y: "2" });
    counter.increment({ x: "1", y: "2" }, 2);
    counter.increment({ y: "1", x: "2" });
    assert.equal(
      counter.render(),
      '# HELP a_total A\n# TYPE a_total counter\na_total{x="1",y="2"} 3\na_total{x="2",y="1"} 1\n',
    );
  });

  test("begins at 0 when it has no labels, and with nothing when it has", () => {
    assert.match(new Counter({ name: "a_total", help: "A" }).render(), /^a_total 0$/m);
    assert.doesNotMatch(new Counter({ name: "a_total", help: "A", labels: ["x"] }).render(), /^a_total/m);
  });

  test("keeps apart values that would run into each other", () => {
    const counter = new Counter({ name: "a_total", help: "A", labels: ["x", "y"] });
    counter.increment({ x: "a,b", y: "c" });
    counter.increment({ x: "a", y: "b,c" });
    assert.equal(counter.render().match(/ 1$/gm)?.length, 2);
  });

  test("raiseTo() never goes back", () => {
    const counter = new Counter({ name: "a_total", help: "A" });
    counter.raiseTo({}, 5);
    counter.raiseTo({}, 3);
    assert.match(counter.render(), /^a_total 5$/m);
  });

  test("escapes label values and help", () => {
    const counter = new Counter({ name: "a_total", help: "back\\slash\nline", labels: ["x"] });
    counter.increment({ x: 'q"\\\n' });
    assert.equal(
      counter.render(),
      '# HELP a_total back\\\\slash\\nline\n# TYPE a_total counter\na_total{x="q\\"\\\\\\n"} 1\n',
    );
  });
});

describe("Gauge", () => {
  test("shows the last value, also those that are no numbers of JSON", () => {
    const gauge = new Gauge({ name: "g", help: "G" });
    for (const [value, text] of [
      [5, "5"],
      [-0.25, "-0.25"],
      [1e21, "1e+21"],
      [Infinity, "+Inf"],
      [-Infinity, "-Inf"],
      [NaN, "NaN"],
    ] as const) {
      gauge.set({}, value);
      assert.equal(gauge.render(), `# HELP g G\n# TYPE g gauge\ng ${text}\n`);
    }
  });

  test("clear() forgets what is not set again", () => {
    const gauge = new Gauge({ name: "g", help: "G", labels: ["x"] });
    gauge.set({ x: "1" }, 1);
    gauge.set({ x: "2" }, 2);
    gauge.clear();
    gauge.set({ x: "2" }, 3);
    assert.equal(gauge.render(), '# HELP g G\n# TYPE g gauge\ng{x="2"} 3\n');
  });
});

describe("Histogram", () => {
  test("counts cumulatively, bounds included", () => {
    const histogram = new Histogram({ name: "h", help: "H", labels: ["x"], buckets: [1, 2] });
    for (const value of [0.5, 1, 1.5, 2.5]) histogram.observe({ x: "a" }, value);
    assert.deepEqual(histogram.render().split("\n").slice(2, -1), [
      'h_bucket{x="a",le="1"} 2',
      'h_bucket{x="a",le="2"} 3',
      'h_bucket{x="a",le="+Inf"} 4',
      'h_sum{x="a"} 5.5',
      'h_count{x="a"} 4',
    ]);
  });

  test("has no comma before the bound when it has no labels", () => {
    assert.match(new Histogram({ name: "h", help: "H", buckets: [1] }).render(), /^h_bucket\{le="1"\} 0$/m);
  });

  test("exponentialBuckets() multiplies", () => {
    assert.deepEqual(exponentialBuckets(0.001, 2, 4), [0.001, 0.002, 0.004, 0.008]);
  });
});

describe("MetricsRegistry", () => {
  test("refuses a name that is taken", () => {
    const registry = new MetricsRegistry();
    registry.add(new Gauge({ name: "g", help: "G" }));
    assert.throws(() => registry.add(new Counter({ name: "g", help: "G" })), /Cannot add metric "g": it exists/);
  });

  test("brings values up to date first, and shows the others when that fails", async () => {
    const registry = new MetricsRegistry();
    const good = registry.add(new Gauge({ name: "good", help: "G" }));
    registry.beforeText(() => good.set({}, 7));
    registry.beforeText(() => Promise.reject(new Error("the database is away")));
    registry.beforeText(() => {
      throw new Error("synchronously too");
    });
    assert.match(await registry.text(), /^good 7$/m);
  });

  /** A registry with a gauge that is measured at once, and one that is measured when the promise says so. */
  function withSlowRefresh(t: TestContext) {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const registry = new MetricsRegistry();
    const [fast, slow] = ["fast", "slow"].map((name) => registry.add(new Gauge({ name, help: "G" })));
    const refreshes: PromiseWithResolvers<number>[] = [];
    registry.beforeText(async () => {
      const refresh = Promise.withResolvers<number>();
      refreshes.push(refresh);
      slow?.set({}, await refresh.promise);
    });
    registry.beforeText(() => fast?.set({}, 7));
    return { registry, refreshes };
  }

  test("shows what it has after two seconds with a refresh that never ends, which it does not start again", async (t) => {
    const { registry, refreshes } = withSlowRefresh(t);
    let ended = 0;
    const ask = () => registry.text().finally(() => ended++);
    const asked = [ask(), ask()];
    t.mock.timers.tick(1999);
    await nextTurn();
    assert.equal(ended, 0);
    t.mock.timers.tick(1);
    for (const text of await Promise.all(asked)) assert.match(text, /^fast 7$[^]*^slow 0$/m);
    const later = ask();
    t.mock.timers.tick(2000);
    assert.match(await later, /^fast 7$/m);
    assert.equal(refreshes.length, 1);
  });

  test("waits for a refresh that ends in time, and starts one that was late again once it has ended", async (t) => {
    const { registry, refreshes } = withSlowRefresh(t);
    const first = registry.text();
    t.mock.timers.tick(2000);
    await first;
    const second = registry.text();
    refreshes[0]?.resolve(1);
    assert.match(await second, /^slow 1$/m);
    const third = registry.text();
    refreshes[1]?.resolve(2);
    assert.match(await third, /^slow 2$/m);
    const fourth = registry.text();
    refreshes[2]?.reject(new Error("the database is away"));
    assert.match(await fourth, /^slow 2$/m);
    assert.equal(refreshes.length, 3);
  });

  test("tells of the process", async () => {
    const registry = new MetricsRegistry();
    processMetrics(registry);
    const text = await registry.text();
    for (const name of [
      "process_cpu_seconds_total",
      "process_resident_memory_bytes",
      "process_start_time_seconds",
      "process_open_fds",
    ]) {
      const [, value] = new RegExp(`^${name} ([\\d.e+]+)$`, "m").exec(text) ?? [];
      assert.ok(Number(value) > 0, `${name} is ${value}`);
    }
  });
});

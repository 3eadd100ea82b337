import { hostname } from "node:os";
import { Datastore } from "@k3s/datastore-endpoint";
import { EtcdApiServer } from "@k3s/etcd-api";
import type { Component } from "@k3s/lifecycle";
import { createLogger, type Logger } from "@k3s/log";
import { MetricsRegistry, processMetrics } from "@k3s/metrics";
import { createNotifier } from "@k3s/process";
import type { CommandContext } from "../context.ts";
import { exitOnBug } from "../exit-on-bug.ts";
import { failureFields } from "../format-failure.ts";
import { serve } from "../serve.ts";
import { listenForStop, outliveTerminal } from "../signals.ts";
import { AutoCompaction } from "./auto-compaction.ts";
import { MetricsListener } from "./metrics-listener.ts";
import { readServeOptions, type ServeOptions } from "./serve-options.ts";

/** Serves a datastore as etcd to whoever connects, until it is asked to end. Resolves with the exit code. */
export async function serveDatastore(flags: ReadonlyMap<string, string>, context: CommandContext): Promise<number> {
  // The endpoint may hold a password: from here on a process list shows the title instead.
  process.title = "k3s datastore serve";
  using requests = listenForStop();
  outliveTerminal();
  const options = await readServeOptions({ flags, env: context.env });
  const log = createLogger({
    level: options.isDebug ? "debug" : "info",
    format: options.logFormat,
    write: (line) => context.writeError(line),
  });
  exitOnBug({ log, isOnStderr: true, close: () => Promise.resolve() });
  for (const warning of options.warnings) log.warn({ setting: warning }, "check the configuration");
  const notifier = createNotifier(context.env["NOTIFY_SOCKET"], { log, watchdogUsec: context.env["WATCHDOG_USEC"] });
  try {
    const { shutdown, impatient } = requests;
    const messages = { upMessage: "the datastore is served", downMessage: "the datastore is no longer served" };
    await serve(components(options, log, context.env), { log, notifier, shutdown, impatient, ...messages });
    return 0;
  } catch (error) {
    log.error(failureFields(error), "datastore failed"); // the one place that logs a fatal error
    return 1;
  }
}

function components(options: ServeOptions, log: Logger, env: CommandContext["env"]): readonly Component[] {
  const { endpoint, tls, pool, slow, compact, metricsAddress, hasMetricsTls, identity } = options;
  const metrics = new MetricsRegistry();
  processMetrics(metrics);
  const text = () => metrics.text();
  const part = (component: string) => log.child({ component });
  const datastore = new Datastore({ endpoint, tls, pool, slow, metrics, env, folder: ".", log: part("datastore") });
  const store = () => datastore.store;
  const api = new EtcdApiServer({
    ...addresses(options),
    store,
    metrics: text,
    memberName: hostname(),
    transport: options.transport,
    progressIntervalMs: options.progressIntervalMs,
    log: part("etcd-api"),
  });
  const metricsIdentity = hasMetricsTls ? identity : undefined;
  return [
    datastore,
    api,
    ...(compact === undefined ? [] : [new AutoCompaction({ ...compact, store, log: part("auto-compaction") })]),
    ...(metricsAddress === undefined
      ? []
      : [new MetricsListener({ ...metricsAddress, identity: metricsIdentity, text, log: part("metrics") })]),
  ];
}

function addresses({ listen, identity }: ServeOptions) {
  if (listen.kind === "unix") return { socketPath: listen.path };
  const { host, port } = listen;
  return { tcp: { host, port, ...(identity === undefined ? {} : { tls: identity }) } };
}

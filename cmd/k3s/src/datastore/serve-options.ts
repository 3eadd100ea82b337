import { readFile } from "node:fs/promises";
import {
  checkEndpoint,
  EndpointError,
  findTlsProblems,
  redactEndpoint,
  type DatastoreTls,
  type DriverEndpoint,
  type SlowThresholds,
} from "@k3s/datastore-endpoint";
import { describeError, NodeError } from "@k3s/errors";
import type { TlsIdentity, TransportName } from "@k3s/etcd-api";
import { UsageError } from "../errors.ts";
import { certificateWarning } from "./certificate-warning.ts";
import { parseListenAddress, type ListenAddress } from "./listen-address.ts";
import { listenHost } from "./listen-host.ts";
import { kineFlags } from "./serve-flags.ts";
import { KineValues } from "./kine-values.ts";

/** Everything `k3s datastore serve` was told, checked. */
export interface ServeOptions {
  readonly endpoint: DriverEndpoint;
  readonly tls: DatastoreTls;
  readonly pool: {
    readonly maxOpen: number;
    readonly maxIdle?: number;
    readonly lifetimeMs: number;
    readonly idleMs: number;
  };
  readonly slow: SlowThresholds;
  readonly listen: ListenAddress;
  readonly identity: TlsIdentity | undefined;
  /** Undefined: no metrics. */
  readonly metricsAddress: Extract<ListenAddress, { readonly kind: "tcp" }> | undefined;
  readonly hasMetricsTls: boolean;
  readonly transport: TransportName;
  readonly progressIntervalMs: number;
  /** Undefined: only when a client says so. */
  readonly compact: CompactOptions | undefined;
  readonly logFormat: "text" | "json";
  readonly isDebug: boolean;
  /** What the log should say at the start. */
  readonly warnings: readonly string[];
}

/** How often history is forgotten, and how much of it stays. */
export interface CompactOptions {
  readonly intervalMs: number;
  /** From 0 to 99. */
  readonly jitterPercent: number;
  readonly minRetain: number;
}

interface Given {
  /** Texts by flag; the last one counts. */
  readonly flags: ReadonlyMap<string, string>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Flag beats variable beats default. Rejects with one UsageError that lists every mistake. */
export async function readServeOptions(given: Given): Promise<ServeOptions> {
  const problems: string[] = [];
  const report = (problem: string) => void problems.push(problem);
  const values = new KineValues(given, report);
  const warnings = [...checkUnserved(values, report)];
  const tls = databaseTls(values);
  await reportTls(tls, { caFile: "--ca-file", certFile: "--cert-file", keyFile: "--key-file" }, report);
  const endpoint = await readEndpoint(values, { tls, env: given.env }, report);
  const identity = await readIdentity(values, report);
  warnings.push(...certificateTerm(values, identity));
  const listen = await readAddress(values, "listen-address", report);
  if (listen?.kind === "tcp") warnings.push(...exposure(listen, identity, report));
  const metricsAddress = await readMetricsAddress(values, report);
  const logFormat = values.text("log-format");
  if (logFormat !== "plain" && logFormat !== "json")
    report(`--log-format must be plain or json: current value is "${logFormat}"`);
  const rest = readNumbers(values, report);
  if (problems.length > 0 || endpoint === undefined || listen === undefined)
    throw UsageError.wrongSettings(problems, "k3s datastore serve");
  return {
    ...rest,
    endpoint,
    tls,
    listen,
    identity,
    metricsAddress,
    hasMetricsTls: identity !== undefined && !values.isOn("metrics-ignore-tls-config"),
    transport: values.text("datastore-transport") === "grpc-js" ? "grpc-js" : "http2",
    logFormat: logFormat === "json" ? "json" : "text",
    isDebug: values.isOn("debug"),
    warnings,
  };
}

function* checkUnserved(values: KineValues, report: (problem: string) => void): Iterable<string> {
  for (const { name, ignored, refused } of kineFlags) {
    if (!values.differs(name)) continue;
    if (refused !== undefined) report(`--${name} is not supported: ${refused}`);
    if (ignored !== undefined) yield `--${name} has no effect: ${ignored}`;
  }
}

function databaseTls(values: KineValues): DatastoreTls {
  return {
    caFile: values.textOrNothing("ca-file"),
    certFile: values.textOrNothing("cert-file"),
    keyFile: values.textOrNothing("key-file"),
    skipVerify: values.isOn("skip-verify"),
  };
}

async function reportTls(
  tls: DatastoreTls,
  names: Readonly<Record<"caFile" | "certFile" | "keyFile", string>>,
  report: (problem: string) => void,
): Promise<void> {
  for (const { file, reason } of await findTlsProblems(tls)) report(`${names[file]} ${reason}`);
}

async function readEndpoint(
  values: KineValues,
  { tls, env }: Pick<ServeOptions, "tls"> & Pick<Given, "env">,
  report: (problem: string) => void,
): Promise<DriverEndpoint | undefined> {
  const text = values.text("endpoint");
  const origin = values.origin("endpoint");
  try {
    const endpoint = await checkEndpoint(text, tls, env);
    if (endpoint.kind !== "etcd") return endpoint;
    report(`--endpoint is an etcd: point clients to it, there is nothing to serve${origin}`);
  } catch (error) {
    if (!(error instanceof NodeError)) throw error;
    if (error instanceof EndpointError)
      report(`--endpoint cannot be "${redactEndpoint(text)}"${origin}: ${error.reasonAndCure}`);
    else report(`--endpoint is refused${origin}: ${describeError(error)}`); // its driver shows the endpoint in its own way
  }
  return undefined;
}

async function readIdentity(values: KineValues, report: (problem: string) => void): Promise<TlsIdentity | undefined> {
  const [certFile, keyFile] = [values.textOrNothing("server-cert-file"), values.textOrNothing("server-key-file")];
  const caFile = values.textOrNothing("trusted-ca-file");
  const before = await findTlsProblems({ caFile, certFile, keyFile });
  const names = { caFile: "--trusted-ca-file", certFile: "--server-cert-file", keyFile: "--server-key-file" };
  for (const { file, reason } of before) report(`${names[file]} ${reason}`);
  if (caFile !== undefined && certFile === undefined)
    report("--trusted-ca-file needs --server-cert-file and --server-key-file");
  if (before.length > 0 || certFile === undefined || keyFile === undefined) return undefined;
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  return { cert, key, clientCa: caFile === undefined ? undefined : await readFile(caFile) };
}

function* certificateTerm(values: KineValues, identity: TlsIdentity | undefined): Iterable<string> {
  if (identity === undefined) return;
  const name = `--server-cert-file ${values.text("server-cert-file")}`;
  const warning = certificateWarning(name, identity.cert, new Date());
  if (warning !== undefined) yield warning;
}

async function readAddress(
  values: KineValues,
  name: string,
  report: (problem: string) => void,
): Promise<ListenAddress | undefined> {
  try {
    const address = parseListenAddress(values.text(name));
    return address.kind === "unix" ? address : { ...address, host: await listenHost(address.host) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    report(`--${name} ${error.message}${values.origin(name)}`);
    return undefined;
  }
}

async function readMetricsAddress(
  values: KineValues,
  report: (problem: string) => void,
): Promise<ServeOptions["metricsAddress"]> {
  if (["", "0"].includes(values.text("metrics-bind-address"))) return undefined;
  const address = await readAddress(values, "metrics-bind-address", report);
  if (address?.kind === "unix") report("--metrics-bind-address must be a host and a port, not a socket");
  return address?.kind === "tcp" ? address : undefined;
}

/** Who can reach the data over this address; kine says nothing about it. */
function* exposure(
  { host, isSecure }: Extract<ListenAddress, { readonly kind: "tcp" }>,
  identity: TlsIdentity | undefined,
  report: (problem: string) => void,
): Iterable<string> {
  if (isSecure && identity === undefined)
    report("--listen-address is https, which needs --server-cert-file and --server-key-file");
  if (/^(127\.|::1$|localhost$)/.test(host)) return;
  if (identity === undefined)
    yield "everybody who reaches --listen-address can read and change all data: use TLS with --trusted-ca-file, or unix://";
  else if (identity.clientCa === undefined)
    yield "every client can read and change all data: --trusted-ca-file lets in only those with a certificate";
}

function readNumbers(values: KineValues, report: (problem: string) => void) {
  const jitterPercent = values.number("compact-interval-jitter");
  if (jitterPercent < 0 || jitterPercent > 99)
    report(`--compact-interval-jitter must be from 0 to 99${values.origin("compact-interval-jitter")}`);
  const intervalMs = values.duration("compact-interval");
  const minRetain = values.number("compact-min-retain");
  const maxIdle = values.number("datastore-max-idle-connections");
  return {
    pool: {
      maxOpen: Math.max(0, values.number("datastore-max-open-connections")),
      ...(maxIdle === 0 ? {} : { maxIdle: Math.max(0, maxIdle) }), // 0 is the driver's own choice
      lifetimeMs: Math.max(0, values.duration("datastore-connection-max-lifetime")),
      idleMs: Math.max(0, values.duration("datastore-connection-max-idle-time")),
    },
    slow: { infoMs: values.duration("slow-sql-threshold"), warnMs: values.duration("slow-sql-warning-threshold") },
    progressIntervalMs: Math.max(1, values.duration("watch-progress-notify-interval")),
    compact: intervalMs <= 0 ? undefined : { intervalMs, jitterPercent, minRetain },
  };
}

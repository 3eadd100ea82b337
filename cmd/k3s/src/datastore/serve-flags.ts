import { DATABASE_FORMS } from "@k3s/config";

/** A flag of kine, or one that we add. */
export interface KineFlag {
  readonly name: string;
  readonly kind: "text" | "switch" | "number" | "duration";
  readonly fallback: string;
  readonly help: string;
  /** Its variable, when it is another one than {@link kineVariable} says. */
  readonly variable?: string;
  /** All values that it takes; absent: any. */
  readonly values?: readonly string[];
  /** Whether a number below 0 is a mistake; of others it means the same as 0. */
  readonly isNatural?: true;
  /** Whether its value may hold a password. */
  readonly secret?: true;
  /** Why a value other than the default changes nothing; said in the log. */
  readonly ignored?: string;
  /** Why a value other than the default cannot be had. */
  readonly refused?: string;
  /** Not shown in help: part of something that is not served at all. */
  readonly isHidden?: true;
}

const T4 = "it belongs to t4, a datastore that is not served";
const TEXT = { kind: "text", fallback: "" } as const;
const NUMBER = { kind: "number", fallback: "0" } as const;
const DURATION = { kind: "duration", fallback: "0" } as const;
const SWITCH = { kind: "switch", fallback: "false" } as const;

// Names, defaults and meaning: github.com/k3s-io/kine pkg/app. Each has the variable KINE_<NAME>.
const SERVED: readonly KineFlag[] = [
  {
    ...TEXT,
    name: "listen-address",
    fallback: "0.0.0.0:2379",
    help: "Address for clients: HOST:PORT, tcp://, https:// or unix://PATH; 0.0.0.0 is every address, IPv6 too",
  },
  {
    ...TEXT,
    name: "endpoint",
    secret: true,
    help: `Where the data is kept: ${DATABASE_FORMS}; empty: SQLite in ./db/state.db`,
  },
  { ...TEXT, name: "ca-file", help: "CA that signed the certificate of the database server" },
  { ...TEXT, name: "cert-file", help: "Client certificate for the database server" },
  { ...TEXT, name: "key-file", help: "Key of that certificate" },
  { ...SWITCH, name: "skip-verify", help: "Do not verify the certificate of the database server" },
  { ...TEXT, name: "server-cert-file", help: "Certificate shown to clients; with it clients need TLS" },
  { ...TEXT, name: "server-key-file", help: "Key of that certificate" },
  { ...TEXT, name: "trusted-ca-file", help: "Clients need a certificate that this CA has signed" },
  { ...TEXT, name: "metrics-bind-address", fallback: ":8080", help: "Address of /metrics; 0: none" },
  { ...SWITCH, name: "metrics-ignore-tls-config", help: "Serve /metrics without TLS" },
  {
    ...NUMBER,
    name: "datastore-max-idle-connections",
    help: "Idle connections kept to the database; 0: as many as the driver likes",
  },
  { ...NUMBER, name: "datastore-max-open-connections", help: "Connections to the database; 0: no limit" },
  { ...DURATION, name: "datastore-connection-max-lifetime", help: "How long a connection is used; 0: for ever" },
  {
    ...DURATION,
    name: "datastore-connection-max-idle-time",
    fallback: "2m",
    help: "How long an idle connection is kept; 0: for ever",
  },
  { ...DURATION, name: "slow-sql-threshold", fallback: "1s", help: "Log statements that take longer; 0: never" },
  { ...DURATION, name: "slow-sql-warning-threshold", fallback: "5s", help: "Log them as a warning from here on" },
  {
    ...DURATION,
    name: "watch-progress-notify-interval",
    fallback: "5s",
    help: "How often quiet watches learn the revision",
  },
  { ...DURATION, name: "compact-interval", help: "Compact this often; 0: when a client says so" },
  { ...NUMBER, name: "compact-interval-jitter", help: "Vary that interval by this many percent" },
  {
    ...NUMBER,
    name: "compact-min-retain",
    isNatural: true,
    fallback: "1000",
    help: "Revisions that compacting by interval leaves",
  },
  { ...TEXT, name: "log-format", fallback: "plain", help: "plain or json" },
  { ...SWITCH, name: "debug", help: "Log what only developers want to know" },
];

const WITHOUT_EFFECT: readonly KineFlag[] = [
  {
    ...TEXT,
    name: "emulated-etcd-version",
    fallback: "3.6.11",
    help: "Version of etcd that clients are told",
    ignored: "clients are always told 3.6.11, whose behaviour is served",
  },
  {
    ...DURATION,
    name: "compact-timeout",
    fallback: "5s",
    help: "Limit for one step of compaction",
    ignored: "compaction goes in slices of milliseconds",
  },
  {
    ...NUMBER,
    name: "compact-batch-size",
    fallback: "1000",
    help: "Revisions compacted in one step",
    ignored: "the size of a slice follows the speed of the disk",
  },
  {
    ...NUMBER,
    name: "poll-batch-size",
    fallback: "500",
    help: "Changes read from the database at once",
    ignored: "changes of others are not found by polling pages",
  },
  {
    ...SWITCH,
    name: "metrics-enable-profiling",
    help: "Serve profiles beside /metrics",
    refused: "there are no Go profiles of this program",
  },
];

const T4_NAMES = [
  ...["peer-bind-address", "peer-advertise-address", "s3-bucket", "s3-folder", "s3-endpoint", "s3-region"],
  ...["s3-access-key", "s3-secret-key", "s3-session-token", "s3-profile", "s3-ca-bundle"],
];

/** Not kine's: named and explained as for `k3s server`. */
const OWN: readonly KineFlag[] = [
  {
    ...TEXT,
    name: "datastore-transport",
    variable: "K3S_DATASTORE_TRANSPORT",
    fallback: "http2",
    values: ["http2", "grpc-js"],
    help: "What serves the etcd API: http2, or grpc-js, which is slower, and the way out if http2 ever misbehaves",
  },
];

/** All flags of `kine` and our own, in the order of help. */
export const kineFlags: readonly KineFlag[] = [
  ...SERVED,
  ...OWN,
  ...WITHOUT_EFFECT,
  ...T4_NAMES.map((name) => ({ ...TEXT, name, help: "", refused: T4, isHidden: true as const })),
];

/** The variable of a flag. */
export function kineVariable({ name, variable }: Pick<KineFlag, "name" | "variable">): string {
  return variable ?? `KINE_${name.toUpperCase().replaceAll("-", "_")}`;
}

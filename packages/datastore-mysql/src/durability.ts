import type { Weakness } from "@k3s/datastore-sql";
import type { ServerVariables } from "./mysql-session.ts";
import { isCluster, isTidb } from "./server-kind.ts";

interface Rule {
  readonly variable: string;
  /** A variable that the server does not have is not weak. */
  readonly weak: RegExp;
  /** `crash`: what it takes to lose them. */
  readonly loss: (value: string, crash: string) => string;
  readonly cure: string;
}

const RULES: readonly Rule[] = [
  {
    variable: "innodb_flush_log_at_trx_commit",
    weak: /^[02]$/,
    loss: (value, crash) =>
      `${value === "0" ? `a crash of the server program or ${crash}` : `a crash ${crash}`} takes a second of acknowledged writes and more`,
    cure: "Run SET GLOBAL innodb_flush_log_at_trx_commit=1, and write it into the server's configuration",
  },
  {
    variable: "sync_binlog",
    weak: /^(?!1$)/,
    // What the log does not have is rolled back when the server recovers, and never reaches a replica.
    loss: (_value, crash) => `a crash ${crash} takes acknowledged writes that are not in the binary log on the disk`,
    cure: "Run SET GLOBAL sync_binlog=1, and write it into the server's configuration; or switch the binary log off",
  },
  {
    variable: "innodb_doublewrite",
    weak: /^(?:OFF|DETECT_ONLY)$/,
    loss: (_value, crash) => `a crash ${crash} can damage pages, unless the file system writes whole ones, as ZFS does`,
    cure: "Start the server with innodb_doublewrite=ON",
  },
];

/** Variables that {@link weaknessesOf} looks at. */
export const DURABILITY_VARIABLES = RULES.map(({ variable }) => variable);

/** By what the server can lose acknowledged writes. A session cannot choose better for itself. */
export function weaknessesOf(variables: ServerVariables): readonly Weakness[] {
  if (isTidb(variables)) return [];
  const crash = isCluster(variables) ? "of all nodes at once" : "of its machine";
  const hasLog = variables.get("log_bin") === "ON";
  return RULES.flatMap(({ variable, weak, loss, cure }) => {
    const value = variables.get(variable);
    if (value === undefined || !weak.test(value) || (variable === "sync_binlog" && !hasLog)) return [];
    return [{ setting: `${variable}=${value}`, loss: loss(value, crash), cure }];
  });
}

/**
 * How far one transaction raises the revision: etcd counts transactions; a table of one row for each change counts changes
 * and gives all of them the last number.
 */
type RevisionStep = "per-txn" | "per-write";

/** Where servers may differ from each other without breaking a promise. */
export interface EndpointTraits {
  readonly revisionStep: RevisionStep;
  /**
   * `lost-by-restart`: a server that starts on compacted history has forgotten how often a key was changed before, and says 2;
   * `compact_rev_key` alone is counted on. Creations are told from updates all the same.
   */
  readonly versions: "exact" | "lost-by-restart";
  /** `with-holes`: a revision may be nobody's, as where the end of a lease without keys takes a place in the log. */
  readonly revisions: "consecutive" | "with-holes";
  /** `bounded`: the database drops old versions by itself, so any revision of the past may be compacted at any time. */
  readonly history: "whole" | "bounded";
  /**
   * `several` behind one database: what a server says of itself (the revision at which a watch is created, whether that is compacted yet)
   * may be behind what another one has acknowledged, as with the members of etcd.
   */
  readonly servers: "one" | "several";
  /**
   * Whether transactions read at revisions of the past. etcd drops the reads of a transaction that it carries out again when it starts,
   * so one that was refused for such a read takes effect after a restart (etcd issue 18667), and all later revisions are others.
   */
  readonly pastInTxns: boolean;
  /** Whether a progress request can be trusted; see {@link answersProgress}. */
  readonly answersProgress: boolean;
  /**
   * Whether the answer to a progress request may come behind the creation of a watch that was asked for after it, of which it says nothing:
   * etcd sends creations and answers from two queues.
   */
  readonly overtakesProgress: boolean;
}

/** Kubernetes' rule for RequestProgress: before these releases etcd let the answer overtake events. */
export function answersProgress(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/).map(Number);
  const number = major * 1_000_000 + minor * 1000 + patch;
  return number >= 3_004_031 && !(number >= 3_005_000 && number < 3_005_013);
}

/** Our store on a database that nobody restarts meanwhile. */
export const ownTraits: EndpointTraits = {
  revisionStep: "per-write",
  versions: "exact",
  revisions: "consecutive",
  history: "whole",
  servers: "one",
  pastInTxns: true,
  answersProgress: true,
  overtakesProgress: false,
};

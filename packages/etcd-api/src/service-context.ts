import type { Store } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import type { Backlog } from "./backlog.ts";
import type { Header } from "./messages/common.ts";
import type { Member } from "./messages/maintenance.ts";

export interface ServiceOptions {
  readonly log: Logger;
  /** Aborts when serving ends: open streams are then ended with Unavailable, so that clients resume elsewhere. */
  readonly signal: AbortSignal;
  /** Named in MemberList; the member id is derived from the name. */
  readonly member: Member;
  /** A watch that asked for it learns the revision this often while it is quiet. Default 5 s, as kine in k3s. */
  readonly progressIntervalMs?: number;
  /** A watch stream with more than this waiting for its reader is ended with Unavailable. Default 64 MiB. */
  readonly watchBacklogBytes?: number;
  /** What waits for readers on all streams and connections. */
  readonly backlog: Backlog;
}

/** What every service is made of. */
export interface ServiceContext extends Required<ServiceOptions> {
  readonly store: Store;
  header(revision: number): Header;
}

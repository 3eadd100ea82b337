import type { ByteText } from "../wire/bytes.ts";

/** As in etcd: `end` empty is the single key, `end` of one zero byte everything from `key` on. */
export interface Span {
  readonly key: ByteText;
  readonly end: ByteText;
}

/** One version of one key, as mvccpb.KeyValue. Lease ids are ours, so they fit a number. */
export interface KeyValue {
  readonly key: ByteText;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
  readonly value: ByteText;
  readonly lease: number;
}

export const sortTargets = ["key", "version", "create", "mod", "value"] as const;
export type SortTarget = (typeof sortTargets)[number];
export const sortOrders = ["none", "ascend", "descend"] as const;
type SortOrder = (typeof sortOrders)[number];

export interface RangeRequest extends Span {
  readonly kind: "range";
  readonly limit?: number;
  readonly revision?: number;
  readonly sort?: { readonly target: SortTarget; readonly order: SortOrder };
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly minMod?: number;
  readonly maxMod?: number;
  readonly minCreate?: number;
  readonly maxCreate?: number;
}

export interface PutRequest {
  readonly kind: "put";
  readonly key: ByteText;
  readonly value: ByteText;
  readonly lease?: number;
  readonly prevKv?: boolean;
  readonly ignoreValue?: boolean;
  readonly ignoreLease?: boolean;
}

export interface DeleteRequest extends Span {
  readonly kind: "delete";
  readonly prevKv?: boolean;
}

export const compareResults = ["equal", "greater", "less", "notEqual"] as const;
type CompareResult = (typeof compareResults)[number];

export interface Compare extends Span {
  readonly result: CompareResult;
  readonly target:
    | { readonly field: "version" | "create" | "mod" | "lease"; readonly value: number }
    | { readonly field: "value"; readonly value: ByteText };
}

export interface TxnRequest {
  readonly kind: "txn";
  readonly compare: readonly Compare[];
  readonly success: readonly TxnOperation[];
  readonly failure: readonly TxnOperation[];
}

export type TxnOperation = RangeRequest | PutRequest | DeleteRequest | TxnRequest;

/** What a client can ask for, watches aside. */
export type Request =
  | TxnOperation
  | { readonly kind: "compact"; readonly revision: number }
  | { readonly kind: "leaseGrant"; readonly id: number; readonly ttl: number }
  | { readonly kind: "leaseRevoke"; readonly id: number }
  | { readonly kind: "leaseKeepAlive"; readonly id: number }
  | { readonly kind: "leaseTimeToLive"; readonly id: number };

export interface RangeResponse {
  readonly kind: "range";
  readonly revision: number;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  readonly count: number;
}

/** Answers by the kind of their request. Inside a transaction `revision` is that of the nested header, 0 if it has none. */
export type Response =
  | RangeResponse
  | { readonly kind: "put"; readonly revision: number; readonly prevKv: KeyValue | undefined }
  | {
      readonly kind: "delete";
      readonly revision: number;
      readonly deleted: number;
      readonly prevKvs: readonly KeyValue[];
    }
  | {
      readonly kind: "txn";
      readonly revision: number;
      readonly succeeded: boolean;
      readonly responses: readonly Response[];
    }
  | { readonly kind: "compact" | "leaseRevoke"; readonly revision: number }
  | {
      readonly kind: "leaseGrant" | "leaseKeepAlive" | "leaseTimeToLive";
      readonly revision: number;
      readonly id: number;
      /** Seconds; -1 or 0 for a lease that is not there. */
      readonly ttl: number;
      /** Seconds, leaseTimeToLive only. */
      readonly granted: number;
    };

/** A revision at which nothing happened. */
export interface Hole {
  readonly kind: "hole";
  readonly revision: number;
}

/** Why a request was refused for good, told from etcd's texts. */
export const refusals = {
  compacted: "required revision has been compacted",
  future: "required revision is a future revision",
  leaseNotFound: "requested lease not found",
  leaseExists: "lease already exists",
  keyNotFound: "key not found",
  duplicateKey: "duplicate key given in txn request",
} as const;
export type Refusal = keyof typeof refusals;

/** `unknown`: the request may have been carried out, or may still be. */
export type Outcome =
  | { readonly kind: "ok"; readonly response: Response }
  | { readonly kind: "refused"; readonly reason: Refusal | "other"; readonly text: string }
  | { readonly kind: "unknown"; readonly text: string };

/** One call as its client saw it. Times in ms on one monotonic clock. */
export interface Operation {
  readonly id: number;
  readonly client: string;
  readonly request: Request;
  readonly invokedAt: number;
  readonly returnedAt: number;
  readonly outcome: Outcome;
}

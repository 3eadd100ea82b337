import { makeAgentPki } from "./make-agent-pki.ts";
import { makeServerPki } from "./make-server-pki.ts";
import { signServing } from "./sign-serving.ts";

/** Everything the PKI worker can be asked for. Arguments and results cross a thread boundary: plain data only. */
export const pkiJobs = { makeServerPki, makeAgentPki, signServing } as const;

export type PkiJobs = typeof pkiJobs;

/** What the worker is started with. */
export interface PkiJob {
  readonly name: keyof PkiJobs;
  readonly input: unknown;
}

/** What the worker answers, once. */
export type PkiAnswer =
  | { readonly ok: true; readonly result: unknown }
  | { readonly ok: false; readonly code: string | undefined; readonly message: string; readonly hint?: string };

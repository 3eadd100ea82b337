import { deadline } from "@k3s/async";
import type { KubeClient } from "@k3s/kube-client";
import type { Identity } from "@k3s/supervisor-api";

/** What somebody wants to do, as Kubernetes' authorisation names it. */
export interface Attempt {
  readonly path: string;
  readonly verb: string;
}

const REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const REVIEW_LIMIT_MS = 10_000;
/** How long an answer holds (k8s.io/apiserver, DelegatingAuthorizationOptions). */
const REMEMBER_MS = 10_000;
const REMEMBERED_MAX = 256;
/** Allowed everything, also while nobody can be asked (DelegatingAuthorizationOptions.AlwaysAllowGroups). */
const MASTERS = "system:masters";
const AUTHENTICATED = "system:authenticated";

/** Asks kube-apiserver whether somebody who is known may do something that is no resource of the API. */
export class AccessReviewer {
  readonly #client: () => KubeClient;
  readonly #remembered = new Map<string, { readonly isAllowed: boolean; readonly untilMs: number }>();

  constructor(client: () => KubeClient) {
    this.#client = client;
  }

  /** Rejects when kube-apiserver does not answer. */
  async isAllowed({ name, groups }: Identity, attempt: Attempt, signal: AbortSignal): Promise<boolean> {
    if (groups.includes(MASTERS)) return true;
    const { path, verb } = attempt;
    const spec = {
      user: name,
      groups: [...new Set([...groups, AUTHENTICATED])],
      nonResourceAttributes: { path, verb },
    };
    const key = JSON.stringify(spec);
    const known = this.#remembered.get(key);
    if (known !== undefined && performance.now() < known.untilMs) return known.isAllowed;
    using limit = deadline(REVIEW_LIMIT_MS, "Asking kube-apiserver for permission", signal);
    const request = { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", spec };
    const { status } = (await this.#client().create(REVIEWS, request, limit)) as Review;
    const isAllowed = status?.allowed === true;
    if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear();
    this.#remembered.set(key, { isAllowed, untilMs: performance.now() + REMEMBER_MS });
    return isAllowed;
  }
}

interface Review {
  readonly status?: { readonly allowed?: boolean };
}

import { createHmac, randomBytes } from "node:crypto";
import { deadline } from "@k3s/async";
import type { KubeClient } from "@k3s/kube-client";
import type { Identity, TokenCheck } from "@k3s/supervisor-api";

interface TokenReview {
  readonly status?: {
    readonly authenticated?: boolean;
    readonly user?: { readonly username?: string; readonly groups?: readonly string[] };
  };
}

const REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews";
const REVIEW_LIMIT_MS = 10_000;
/** Strangers may ask as well: what is asked of kube-apiserver for them is bounded. */
const IN_FLIGHT_MAX = 8;
/** As long as kube-apiserver itself remembers a token. */
const REMEMBER_MS = 10_000;
const REMEMBERED_MAX = 1024;

/** Asks kube-apiserver whose a bearer token is: bootstrap tokens and service accounts are its to know. */
export class TokenReviewer implements TokenCheck {
  readonly #client: () => KubeClient;
  readonly #digestKey = randomBytes(32);
  readonly #remembered = new Map<string, { readonly identity: Identity | undefined; readonly untilMs: number }>();
  #inFlight = 0;

  constructor(client: () => KubeClient) {
    this.#client = client;
  }

  async check(token: string): Promise<Identity | "busy" | undefined> {
    const digest = createHmac("sha256", this.#digestKey).update(token).digest("base64");
    const known = this.#remembered.get(digest);
    if (known !== undefined && performance.now() < known.untilMs) return known.identity;
    if (this.#inFlight >= IN_FLIGHT_MAX) return "busy";
    this.#inFlight += 1;
    try {
      const identity = await this.#review(token);
      if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear();
      this.#remembered.set(digest, { identity, untilMs: performance.now() + REMEMBER_MS });
      return identity;
    } finally {
      this.#inFlight -= 1;
    }
  }

  async #review(token: string): Promise<Identity | undefined> {
    using limit = deadline(REVIEW_LIMIT_MS, "Asking kube-apiserver for a token");
    const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token } };
    const { status } = (await this.#client().create(REVIEWS, request, limit)) as TokenReview;
    const name = status?.user?.username ?? "";
    return status?.authenticated === true && name !== "" ? { name, groups: status.user?.groups ?? [] } : undefined;
  }
}
